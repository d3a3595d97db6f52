/** @file From a model and a command to one file that a board can run: prepared, staged, hashed, written. */
import { access, constants, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { diskError } from '../../../runtime/delta/atomic-file.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { type BundleFile, hashed, inOrder, textFile } from './bundle-file.ts';
import { BUNDLE_MARK } from './config-files.ts';
import { type Manifest, manifestOf, sumsText } from './manifest.ts';
import { glibcNeeded, type RuntimeFiles, runtimeFiles } from './runtime-files.ts';
import { prepareService, type Service, type ServiceRequest } from './service.ts';
import type { Target } from './target.ts';
import { writeBundle } from './write-bundle.ts';

export interface BuiltBundle {
  readonly path: string;
  /** Of the compressed file. */
  readonly bytes: number;
  readonly manifest: Manifest;
}

/**
 * Writes a bundle to `out`. The same inputs give the same bytes, whoever builds where and when.
 * @throws DataError if `out` cannot be written; nothing is left half-written
 * @throws as `prepareService` and `runtimeFiles`
 */
export async function buildBundle(request: ServiceRequest, out: string): Promise<BuiltBundle> {
  await requireWritable(out);
  const service = await prepareService(request);
  const scratch = await mkdtemp(join(tmpdir(), 'edgeshift-bundle-'));
  try {
    const runtime = await runtimeFiles(scratch, request.target, request.withNode);
    const { files, manifest } = await assemble(request.target, runtime, service);
    return { path: out, bytes: await writeBundle(out, files), manifest };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Everything of a bundle in its order, with its manifest and sums. @throws DataError if a file cannot be part of one */
export async function assemble(
  target: Target,
  { files: runtime, version, node }: RuntimeFiles,
  { files: own, device, memory, run }: Service,
): Promise<{ readonly files: readonly BundleFile[]; readonly manifest: Manifest }> {
  const content = inOrder([...runtime, ...own]);
  const manifest = manifestOf({
    ...{ version, target: target.name, node, glibc: await glibcNeeded(content), device, memory },
    run: run.map((word) => (word.startsWith(BUNDLE_MARK) ? word.slice(BUNDLE_MARK.length) : word)),
    files: await hashedAll(content),
  });
  const described = textFile('manifest.json', `${JSON.stringify(manifest, null, 1)}\n`);
  const sums = textFile('SHA256SUMS', sumsText([...manifest.files, await hashed(described)]));
  return { files: inOrder([...content, described, sums]), manifest };
}

/** One after the other: a few of them are large. */
async function hashedAll(files: readonly BundleFile[]): Promise<Manifest['files']> {
  const all: Manifest['files'][number][] = [];
  for (const file of files) all.push(await hashed(file));
  return all;
}

/** Before minutes are spent on what could not be written. */
async function requireWritable(out: string): Promise<void> {
  const there = await stat(out).catch(() => null);
  if (there?.isDirectory()) throw new UsageError(`--out must be a file: "${out}" is a folder`, { path: out });
  await access(dirname(out), constants.W_OK | constants.X_OK).catch((cause: unknown) => {
    throw diskError(out, cause);
  });
}
