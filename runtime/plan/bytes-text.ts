/** @file Byte counts for people and from people. */
import { UsageError } from '../errors.ts';

const MIB = 2 ** 20;

/** `44.3 MiB`; below one MiB in KiB. */
export function bytesText(bytes: number): string {
  const size = Math.abs(bytes);
  if (size < 1024) return `${bytes} B`;
  return size < MIB ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / MIB).toFixed(1)} MiB`;
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1024,
  kb: 1e3,
  kib: 1024,
  m: MIB,
  mb: 1e6,
  mib: MIB,
  g: 2 ** 30,
  gb: 1e9,
  gib: 2 ** 30,
};

/**
 * Bytes from `512MiB`, `1.5GB`, `256m` or a plain number; k, m and g alone are binary.
 * @throws UsageError naming `option`
 */
export function parseBytes(option: string, text: string): number {
  const [, digits = '', unit = ''] = /^\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*$/i.exec(text) ?? [];
  const factor = units[unit.toLowerCase()];
  if (digits === '' || factor === undefined || Number(digits) <= 0) {
    throw new UsageError(`${option} must be a size such as 256MiB, 1.5GB or 200000000: ${JSON.stringify(text)}`);
  }
  return Math.round(Number(digits) * factor);
}
