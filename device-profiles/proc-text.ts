/**
 * @file What the text files of a running board say: /proc, the device tree, Jetson Linux and nvpmodel. Text in, facts out.
 */

/** Cores by implementer and part (MIDR_EL1), as /proc/cpuinfo prints them: 0x41 is Arm, 0x4e NVIDIA. */
const coreNames: Readonly<Record<string, string>> = {
  '0x41 0xd03': 'Cortex-A53',
  '0x41 0xd05': 'Cortex-A55',
  '0x41 0xd07': 'Cortex-A57',
  '0x41 0xd08': 'Cortex-A72',
  '0x41 0xd0b': 'Cortex-A76',
  '0x41 0xd42': 'Cortex-A78AE',
  '0x4e 0x003': 'Denver 2',
  '0x4e 0x004': 'Carmel',
};

/** Memory of /proc/meminfo in bytes; null where the line is missing. */
export function parseMeminfo(text: string): { totalBytes: number | null; availableBytes: number | null } {
  const field = (name: string) => {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text);
    return match ? Number(match[1]) * 1024 : null;
  };
  // Kernels before 3.14 have no MemAvailable; what is free then is the careful answer.
  return { totalBytes: field('MemTotal'), availableBytes: field('MemAvailable') ?? field('MemFree') };
}

export interface CpuText {
  /** Processors listed; 0 if none. */
  readonly processors: number;
  /** Kinds of core in the order of the file, joined by " + ", or the "model name"; empty if neither is known. */
  readonly model: string;
  /** "cpu MHz" of the first processor: its clock at the moment of reading, on x86 only. */
  readonly megahertz: number | null;
}

/** Cores of /proc/cpuinfo. An arm64 kernel names a core by two numbers; an x86 one by its model. */
export function parseCpuinfo(text: string): CpuText {
  const kinds = new Set<string>();
  for (const block of text.split(/\n\s*\n/)) {
    // Arm's own number is the one meant where a sample or an old kernel leaves the implementer out.
    const implementer = /^CPU implementer\s*:\s*(\S+)/m.exec(block)?.[1] ?? '0x41';
    const part = /^CPU part\s*:\s*(\S+)/m.exec(block)?.[1];
    if (part !== undefined) kinds.add(coreNames[`${implementer} ${part}`] ?? `core ${implementer} ${part}`);
  }
  const named = /^model name\s*:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? '';
  const megahertz = Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(text)?.[1]);
  return {
    processors: text.match(/^processor\s*:/gm)?.length ?? 0,
    model: [...kinds].join(' + ') || named,
    megahertz: megahertz > 0 ? megahertz : null,
  };
}

/** The strings of a device-tree property, which end in NUL each. */
export function parseDeviceTreeStrings(text: string): string[] {
  return text
    .split('\0')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Release of Jetson Linux (L4T) as `36.4.3` from the first line of /etc/nv_tegra_release; null if it is none. */
export function parseTegraRelease(text: string): string | null {
  const match = /R(\d+)\s+\(release\),\s+REVISION:\s*([\d.]+)/.exec(text);
  return match ? `${match[1]}.${match[2]}` : null;
}

export interface NvpmodelMode {
  readonly id: number;
  /** As the configuration spells it: `15W`, `MODE_10W_DESKTOP`, `MAXN_SUPER`; null if the id is not in it. */
  readonly name: string | null;
  /** The number before the W of the name. */
  readonly watts: number | null;
}

/**
 * The power mode that nvpmodel last set, without asking it, which would need root.
 *
 * @param status /var/lib/nvpmodel/status: `pmode:0002`, on older releases followed by ` fmode:quiet`
 * @param configuration /etc/nvpmodel.conf, which has a line `< POWER_MODEL ID=2 NAME=15W >` for each mode
 * @returns null if the status names no mode
 */
export function parseNvpmodel(status: string, configuration: string): NvpmodelMode | null {
  const found = /pmode:(\d+)/.exec(status);
  if (!found) return null;
  const id = Number(found[1]);
  // Lines that begin with # explain the format and hold the same words.
  const modes = configuration.matchAll(/^[ \t]*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>/gm);
  const name = [...modes].find((mode) => Number(mode[1]) === id)?.[2] ?? null;
  const watts = Number(/(\d+)W/.exec(name ?? '')?.[1]);
  return { id, name, watts: watts > 0 ? watts : null };
}
