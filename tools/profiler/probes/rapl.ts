/**
 * @file Energy counters of x86 processors (RAPL), as Linux shows them: powercap zones with micro-joules that wrap around. Source:
 * Linux kernel documentation, power/powercap.
 */
import { join } from 'node:path';
import { PolledFile } from '../../../device-profiles/probes/polled-file.ts';
import type { Found } from '../../../device-profiles/probes/probe.ts';
import type { PowerReading, PowerSource } from './power-source.ts';
import { entries, readLine } from './sysfs.ts';

class Zone {
  readonly name: string;
  readonly #file: PolledFile;
  readonly #rangeMicrojoules: number;
  #last: number | null = null;

  constructor(name: string, file: PolledFile, rangeMicrojoules: number) {
    this.name = name;
    this.#file = file;
    this.#rangeMicrojoules = rangeMicrojoules;
  }

  /** Joules since the call before. At most one round of the counter may pass between two calls, which is minutes. */
  joules(): number | null {
    const now = this.#file.number();
    if (now === null) return null;
    const gone = this.#last === null ? 0 : now - this.#last;
    this.#last = now;
    return (gone < 0 ? gone + this.#rangeMicrojoules : gone) * 1e-6;
  }

  close(): void {
    this.#file.close();
  }
}

class Rapl implements PowerSource {
  readonly name: string;
  readonly #zones: readonly Zone[];
  #joules = 0;
  #lastMillis: number | null = null;

  constructor(zones: readonly Zone[]) {
    this.#zones = zones;
    this.name = `RAPL ${zones.map(({ name }) => name).join(' + ')}`;
  }

  async read(): Promise<PowerReading | null> {
    const joules = this.#zones.map((zone) => zone.joules());
    if (joules.some((value) => value === null)) return null;
    const gone = joules.reduce<number>((sum, value) => sum + (value ?? 0), 0);
    const now = performance.now();
    const seconds = this.#lastMillis === null ? 0 : (now - this.#lastMillis) / 1000;
    this.#lastMillis = now;
    this.#joules += gone;
    return { watts: seconds > 0 ? gone / seconds : 0, joules: this.#joules };
  }

  close(): void {
    for (const zone of this.#zones) zone.close();
  }
}

/** All packages together; what is inside of them (cores, graphics) is part of their count, memory on most machines is not. */
export function openRapl(root: string): Found<PowerSource> {
  const packages = entries(join(root, 'sys/class/powercap'), /^intel-rapl:\d+$/).filter((folder) =>
    readLine(join(folder, 'name'))?.startsWith('package'),
  );
  if (packages.length === 0) return { missing: 'no RAPL energy counters' };
  const zones = packages.flatMap((folder) => {
    const file = PolledFile.open(join(folder, 'energy_uj'));
    const range = Number(readLine(join(folder, 'max_energy_range_uj')));
    return file === null ? [] : [new Zone(readLine(join(folder, 'name')) ?? '', file, range)];
  });
  if (zones.length === packages.length) return { probe: new Rapl(zones) };
  for (const zone of zones) zone.close();
  return { missing: `${packages[0]}/energy_uj is readable by root alone` };
}
