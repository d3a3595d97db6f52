/** @file What a bundle says of itself: its manifest, whose id is a hash of the rest, and sums that `sha256sum -c` checks. */
import { createHash } from 'node:crypto';
import type { HashedFile } from './bundle-file.ts';
import type { ServiceMemory } from './service-memory.ts';
import type { TargetName } from './target.ts';

export interface Manifest {
  readonly format: 'edgeshift-bundle-1';
  /** First 16 hexadecimal digits of the SHA-256 of everything else, as canonical JSON. */
  readonly id: string;
  /** Of the runtime. */
  readonly version: string;
  readonly target: TargetName;
  /** Version of the Node in the bundle; null: the board's own. */
  readonly node: string | null;
  /** The least version that native libraries ask for; null if none does. */
  readonly glibc: string | null;
  /** Name of the device profile; null: planned on the board. */
  readonly device: string | null;
  /** Of all `files`. */
  readonly bytes: number;
  readonly memory: ServiceMemory | null;
  /** Arguments of `edgeshift`; paths of the bundle are seen from it. */
  readonly run: readonly string[];
  /** Every file but the manifest and the sums, in the order of paths. */
  readonly files: readonly HashedFile[];
}

export function manifestOf(facts: Omit<Manifest, 'format' | 'id' | 'bytes'>): Manifest {
  const bytes = facts.files.reduce((sum, file) => sum + file.bytes, 0);
  const content = { format: 'edgeshift-bundle-1' as const, ...facts, bytes };
  return { ...content, id: idOf(content) };
}

/** Of a manifest; an `id` that it has already does not count. */
export function idOf({ id: _, ...content }: Partial<Manifest>): string {
  return createHash('sha256').update(canonical(content)).digest('hex').slice(0, 16);
}

/** JSON without spaces whose objects have their keys in order, by UTF-16 code units. */
export function canonical(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}

/** As `sha256sum` writes them, in the order of paths. */
export function sumsText(files: readonly Pick<HashedFile, 'path' | 'sha256'>[]): string {
  const lines = files.map(({ path, sha256 }) => `${sha256}  ${path}\n`);
  return lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join('');
}
