/** @file Whether a board can take a bundle, said all at once and before anything is sent; pure. */
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import type { Manifest } from '../bundle/manifest.ts';
import type { BoardReport } from './board-report.ts';

export interface PreflightProblems {
  /** The bundle is not for this board, or the board lacks something. */
  readonly refusals: readonly string[];
  /** It would not fit. */
  readonly shortages: readonly string[];
}

/** `uname -m` of each target. */
const machines: Readonly<Record<Manifest['target'], readonly string[]>> = {
  'linux-arm64': ['aarch64', 'arm64'],
  'linux-x64': ['x86_64', 'amd64'],
};

/** Files take whole blocks, and folders some. */
const DISK_FACTOR = 1.1;

/** @param missingBytes of the files that the board does not have */
export function preflightProblems(manifest: Manifest, board: BoardReport, missingBytes: number): PreflightProblems {
  const disk = Math.ceil(missingBytes * DISK_FACTOR);
  const planned = manifest.memory?.planBytes ?? 0;
  return {
    refusals: [
      ...(machines[manifest.target].includes(board.machine)
        ? []
        : [`architecture: the bundle is for ${manifest.target}, the board is ${board.machine || 'unknown'}`]),
      ...libcProblems(manifest, board),
      ...nodeProblems(manifest, board),
      ...(board.lacking.length === 0 ? [] : [`programs: the board has no ${board.lacking.join(', ')}`]),
      ...(board.writable ? [] : ['folder: the user may not write there']),
    ],
    shortages: [
      ...(board.freeBytes >= disk
        ? []
        : [`disk: ${sizeText(board.freeBytes)} are free, ${bytesText(disk)} are needed`]),
      ...(board.memoryBytes >= planned
        ? []
        : [`memory: ${sizeText(board.memoryBytes)} are available, the plan takes ${bytesText(planned)}`]),
    ],
  };
}

function libcProblems({ glibc }: Manifest, { libc }: BoardReport): readonly string[] {
  if (glibc === null) return [];
  const found = /^(?:glibc|ldd .*?) ?(\d+(?:\.\d+)+)$/.exec(libc)?.[1];
  if (found === undefined || /musl/i.test(libc)) {
    return [`glibc: the bundle needs ${glibc} or later, the board has ${libc === '' ? 'none' : JSON.stringify(libc)}`];
  }
  return isAtLeast(found, glibc) ? [] : [`glibc: the bundle needs ${glibc} or later, the board has ${found}`];
}

function nodeProblems(manifest: Manifest, { node }: BoardReport): readonly string[] {
  if (manifest.node !== null || (node !== null && nodeServes(node))) return [];
  const found = node === null ? 'no node on the path of remote commands' : `Node ${node}`;
  return [`Node: expected 20.19, 22 or 24 and later, the board has ${found}; build the bundle with --with-node`];
}

/** As `engines` of package.json says. */
export function nodeServes(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return (major === 20 && minor >= 19) || major === 22 || major >= 24;
}

/** Compares versions number by number. */
export function isAtLeast(version: string, least: string): boolean {
  const [have, want] = [version.split('.').map(Number), least.split('.').map(Number)];
  for (const [at, number] of want.entries()) {
    const other = have[at] ?? 0;
    if (other !== number) return other > number;
  }
  return true;
}

const sizeText = (bytes: number): string => (Number.isFinite(bytes) ? bytesText(bytes) : 'an unknown number of bytes');
