/** @file A bundle as text. */
import { bytesText } from '../../runtime/plan/bytes-text.ts';
import type { BuiltBundle } from '../deploy/bundle/build.ts';
import type { Manifest } from '../deploy/bundle/manifest.ts';

/** Parts that are named, the largest first. */
const SHOWN_PARTS = 6;

export function bundleText({ path, bytes, manifest }: BuiltBundle): string {
  const { id, target, node, glibc, device, memory, files, run } = manifest;
  const rows: readonly (readonly [string, string])[] = [
    ['bundle', `${path}, ${bytesText(bytes)} (${bytesText(manifest.bytes)} in ${files.length} files unpacked)`],
    ['release', id],
    ['target', `${target}, Node ${node ?? "of the board's"}${glibc === null ? '' : `, glibc from ${glibc}`}`],
    ['device', device ?? 'none: the board plans for itself'],
    ['memory', memory === null ? 'not limited' : memoryText(memory)],
    ['runs', run.join(' ')],
    ...largestParts(manifest).map(
      ([part, size], at) => [at === 0 ? 'largest' : '', `${bytesText(size)}  ${part}`] as const,
    ),
  ];
  return rows.map(([label, value]) => `${label.padEnd(10)}${value}\n`).join('');
}

const memoryText = ({ planBytes, highBytes, maxBytes }: NonNullable<Manifest['memory']>): string =>
  `${bytesText(planBytes)} planned, slowed down above ${bytesText(highBytes)}, killed above ${bytesText(maxBytes)}`;

/** Packages, and folders of the bundle, with what is in them unpacked. */
export function largestParts({ files }: Pick<Manifest, 'files'>): readonly (readonly [string, number])[] {
  const sizes = new Map<string, number>();
  for (const { path, bytes } of files) {
    const [part = path] = /^app\/node_modules\/(@[^/]+\/)?[^/]+|^app\/[^/]+|^[^/]+/.exec(path) ?? [];
    sizes.set(part, (sizes.get(part) ?? 0) + bytes);
  }
  return [...sizes].sort(([, a], [, b]) => b - a).slice(0, SHOWN_PARTS);
}
