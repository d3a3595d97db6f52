/** @file Quantities as people read them; a dash stands for what is not known. */
import { bytesText } from '../../../runtime/plan/bytes-text.ts';

export const UNKNOWN = '–';

const MIB = 2 ** 20;

/** Bytes in MiB, as charts show them: exact to a hundredth. */
export const mebibytes = (bytes: number): number => Math.round((100 * bytes) / MIB) / 100;

export function sizeText(bytes: number | null): string {
  return bytes === null ? UNKNOWN : bytesText(bytes);
}

/** `0.42 ms`, `812 ms`, `12.3 s`, `10 min 4 s`. */
export function durationText(millis: number | null): string {
  if (millis === null) return UNKNOWN;
  if (millis < 1000) return `${fewDigits(millis)} ms`;
  if (millis < 60_000) return `${fewDigits(millis / 1000)} s`;
  const seconds = Math.round(millis / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A share of 1 as `12.3 %`. */
export function percentText(share: number | null): string {
  return share === null ? UNKNOWN : `${(100 * share).toFixed(1)} %`;
}

export function joulesText(joules: number | null): string {
  return joules === null ? UNKNOWN : `${fewDigits(joules)} J`;
}

/** How far `value` lies from `base`, as `+2.1 %`; a dash where either is unknown or there is nothing to divide by. */
export function changeText(base: number | null, value: number | null): string {
  if (base === null || value === null || (base === 0 && value !== 0)) return UNKNOWN;
  const percent = base === 0 ? 0 : (100 * (value - base)) / base;
  if (value === base) return '0 %';
  const digits = Math.abs(percent) < 0.1 ? percent.toPrecision(1) : percent.toFixed(1);
  return percent > 0 ? `+${digits} %` : `−${digits.slice(1)} %`;
}

/** Three significant digits and no more zeros than needed; thousands are kept whole. */
export function fewDigits(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return value.toLocaleString('en-US', { maximumFractionDigits: digits });
}

/** Middle of a list; null if it is empty. */
export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) return null;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
