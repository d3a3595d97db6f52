/** @file Whether what was unpacked is what manifest and sums say; pure. */
import { z } from 'zod';
import { DataError } from '../../../runtime/errors.ts';
import { type HashedFile, isPlainPath } from '../bundle/bundle-file.ts';
import { idOf, type Manifest } from '../bundle/manifest.ts';

const bytes = z.int().nonnegative();
/** Facts that a later version adds count for the id, so they are kept. */
const manifestSchema = z.looseObject({
  format: z.literal('edgeshift-bundle-1'),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  version: z.string(),
  target: z.enum(['linux-arm64', 'linux-x64']),
  node: z.string().nullable(),
  glibc: z
    .string()
    .regex(/^\d+(\.\d+)+$/)
    .nullable(),
  device: z.string().nullable(),
  bytes,
  memory: z.looseObject({ planBytes: bytes, highBytes: bytes, maxBytes: bytes }).nullable(),
  run: z.array(z.string()),
  files: z.array(
    z.looseObject({
      path: z.string(),
      bytes,
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      mode: z.enum(['644', '755']),
    }),
  ),
});

/** @throws DataError if the text is no manifest of a format that is known */
export function readManifest(bundle: string, text: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError(
      `manifest.json of "${bundle}" is no JSON: ${(cause as Error).message}`,
      { path: bundle },
      { cause },
    );
  }
  const result = manifestSchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => `  ${path.join('.') || 'manifest'}: ${message}`);
  throw new DataError(`manifest.json of "${bundle}" is no manifest:\n${problems.slice(0, 10).join('\n')}`, {
    path: bundle,
  });
}

/** What the service and the board's side cannot do without. */
const needed = ['service/run', 'service/board.sh'] as const;

/** Everything that is not as it should be, in the order of the archive; none: the bundle is whole. */
export function bundleProblems(manifest: Manifest, files: readonly HashedFile[], sums: string): readonly string[] {
  const there = new Map(files.map((file) => [file.path, file]));
  const said = new Map(manifest.files.map((file) => [file.path, file]));
  const id = idOf(manifest);
  const total = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  return [
    ...(id === manifest.id ? [] : [`manifest.json: its id is ${manifest.id}, its content's ${id}`]),
    ...(total === manifest.bytes ? [] : [`manifest.json: bytes is ${manifest.bytes}, its files have ${total}`]),
    ...repeated(files),
    ...files.flatMap((file) => pathProblems(file.path, there)),
    ...manifest.files.flatMap((file) => fileProblems(file, there.get(file.path))),
    ...files.flatMap(({ path }) => (said.has(path) || ownFiles.has(path) ? [] : [`${path}: not in the manifest`])),
    ...needed.flatMap((path) => (there.has(path) ? [] : [`${path}: missing`])),
    ...sumProblems(sums, there),
  ];
}

const ownFiles: ReadonlySet<string> = new Set(['manifest.json', 'SHA256SUMS']);

function repeated(files: readonly HashedFile[]): readonly string[] {
  const seen = new Set<string>();
  return files.flatMap(({ path }) => {
    if (seen.has(path)) return [`${path}: there twice`];
    seen.add(path);
    return [];
  });
}

function pathProblems(path: string, there: ReadonlyMap<string, HashedFile>): readonly string[] {
  if (!isPlainPath(path)) return [`${JSON.stringify(path)}: no path of a bundle`];
  const parts = path.split('/');
  const above = parts.map((_, depth) => parts.slice(0, depth).join('/')).find((folder) => there.has(folder));
  return above === undefined ? [] : [`${path}: ${above} is a file`];
}

function fileProblems(said: HashedFile, found: HashedFile | undefined): readonly string[] {
  const { path } = said;
  if (ownFiles.has(path)) return [`${path}: cannot name itself`];
  if (found === undefined) return [`${path}: missing`];
  if (found.bytes !== said.bytes) return [`${path}: ${found.bytes} bytes, expected ${said.bytes}`];
  if (found.sha256 !== said.sha256) return [`${path}: sha256 ${found.sha256}, expected ${said.sha256}`];
  return found.mode === said.mode ? [] : [`${path}: mode ${found.mode}, expected ${said.mode}`];
}

function sumProblems(text: string, there: ReadonlyMap<string, HashedFile>): readonly string[] {
  const lines = text.split('\n').filter((line) => line !== '');
  const sums = new Map(lines.map((line) => [line.slice(66), line.slice(0, 66)]));
  const others = [...there.values()].filter(({ path }) => path !== 'SHA256SUMS');
  const wrong = others
    .filter(({ path, sha256 }) => sums.get(path) !== `${sha256}  `)
    .map(({ path }) => `SHA256SUMS: ${path}`);
  const unknown = [...sums.keys()].filter((path) => !there.has(path) || path === 'SHA256SUMS');
  if (lines.length !== sums.size) wrong.push('SHA256SUMS: names a file twice');
  return [...wrong, ...unknown.map((path) => `SHA256SUMS: names ${JSON.stringify(path)}`)];
}
