/** @file What the kernel says a process holds: /proc/<pid>/status. */

/** In bytes. */
export interface ProcessBytes {
  readonly rssBytes: number;
  /** With memory shared between processes, which has no file either. */
  readonly anonymousBytes: number;
  readonly fileBytes: number;
}

/** Fields of proc_pid_status(5); zeros for a process that has no memory left. */
export function parseStatus(text: string): ProcessBytes & { readonly peakBytes: number } {
  const rssBytes = kibibytes(text, 'VmRSS') ?? 0;
  // Kernels before 4.5 do not tell files apart.
  const fileBytes = kibibytes(text, 'RssFile') ?? 0;
  return { rssBytes, anonymousBytes: rssBytes - fileBytes, fileBytes, peakBytes: kibibytes(text, 'VmHWM') ?? 0 };
}

/** `Name:   123 kB` at the beginning of a line, in bytes; null where there is none. */
export function kibibytes(text: string, name: string): number | null {
  const at = text.startsWith(`${name}:`) ? 0 : text.indexOf(`\n${name}:`) + 1;
  if (at === 0 && !text.startsWith(`${name}:`)) return null;
  return 1024 * Number.parseInt(text.slice(at + name.length + 1, at + name.length + 32), 10);
}
