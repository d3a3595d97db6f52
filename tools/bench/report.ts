/** @file What every benchmark prints: the machine it ran on, and a table. */
import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
import { commitOf } from '../profiler/commit.ts';
import { root } from './places.ts';

/** Without these a figure cannot be compared with another. */
export interface Facts {
  /** Short hash, with `+` if the working tree differs from it; null outside a repository. */
  readonly commit: string | null;
  readonly node: string;
  readonly onnxruntime: string;
  readonly cpu: string;
  readonly cores: number;
  /** Processes that wanted to run in the last minute, on average. */
  readonly load: number;
}

export function facts(): Facts {
  const [first] = cpus();
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  return {
    commit: commitOf(root),
    node: process.versions.node,
    onnxruntime: version,
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    load: loadavg()[0] ?? 0,
  };
}

export function factsText({ commit, node, onnxruntime, cpu, cores, load }: Facts): string {
  const where = commit === null ? '' : `commit ${commit}, `;
  return `${where}Node ${node}, onnxruntime ${onnxruntime}, ${cores} x ${cpu}, load ${load.toFixed(2)}`;
}

/** Columns aligned; the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>((most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)), []);
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  return rows.map(line).join('\n');
}

/** The value below which a share of the values lies, linear between neighbours; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (place - Math.floor(place)) * (above - below);
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Of the straight line through the points, by least squares. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map(([each]) => each)), mean(points.map(([, each]) => each))];
  const covariance = mean(points.map(([a, b]) => (a - x) * (b - y)));
  return covariance / mean(points.map(([a]) => (a - x) ** 2));
}

export const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
