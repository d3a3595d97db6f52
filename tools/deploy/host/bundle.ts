/** @file A bundle on the laptop: unpacked into a folder of its own, and checked to the last byte before any of it is used. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { DataError } from '../../../runtime/errors.ts';
import type { HashedFile } from '../bundle/bundle-file.ts';
import type { Manifest } from '../bundle/manifest.ts';
import { bundleProblems, readManifest } from './bundle-check.ts';
import { readTar, type TarFile, type TarLimits } from './tar-reader.ts';

/** A file of a bundle where it lies on the laptop. */
export interface UnpackedFile extends HashedFile {
  readonly at: string;
}

export interface Bundle {
  readonly manifest: Manifest;
  /** Every file, the manifest and the sums too. */
  readonly files: readonly UnpackedFile[];
}

/** Zlib's best ratio is 1032; real bundles come to about 4. */
const EXPANSION = 100;
const LEAST_LIMIT_BYTES = 64 * 2 ** 20;
const MAX_FILES = 65536;

/** What an archive of so many bytes may unpack to. */
export const bundleLimits = (bytes: number): TarLimits => ({
  entries: MAX_FILES,
  bytes: Math.max(LEAST_LIMIT_BYTES, EXPANSION * bytes),
});

/** An unpacked bundle; its folder goes with it. */
export class OpenBundle implements Bundle, AsyncDisposable {
  readonly manifest: Manifest;
  readonly files: readonly UnpackedFile[];
  readonly #folder: string;

  private constructor(folder: string, files: readonly UnpackedFile[], manifest: Manifest) {
    this.#folder = folder;
    this.files = files;
    this.manifest = manifest;
  }

  /**
   * Reads and checks an archive: sizes, paths, sums, manifest and id.
   * @throws DataError if it cannot be read, or is not exactly what its manifest says
   */
  static async open(path: string): Promise<OpenBundle> {
    const folder = await mkdtemp(join(tmpdir(), 'edgeshift-bundle-'));
    try {
      const files = await unpacked(path, folder);
      const text = (name: string) => readText(path, files, name);
      const manifest = readManifest(path, await text('manifest.json'));
      const problems = bundleProblems(manifest, files, await text('SHA256SUMS'));
      if (problems.length === 0) return new OpenBundle(folder, files, manifest);
      const more = problems.length > 10 ? `\n  and ${problems.length - 10} more` : '';
      throw new DataError(
        `"${path}" is not what its manifest says:\n  ${problems.slice(0, 10).join('\n  ')}${more}\n` +
          'Hint: it was damaged or changed after it was built; build it again. Nothing was sent',
        { path, problems },
      );
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function unpacked(path: string, folder: string): Promise<readonly UnpackedFile[]> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new DataError(`cannot read the bundle "${path}": ${(cause as Error).message}`, { path }, { cause });
  });
  if (!info.isFile()) throw new DataError(`the bundle "${path}" is not a file: expected a .tar.gz`, { path });
  const files: UnpackedFile[] = [];
  try {
    for await (const file of readTar(path, createReadStream(path).pipe(createGunzip()), bundleLimits(info.size))) {
      files.push(await stored(file, join(folder, `${files.length}`)));
    }
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_') && !code.startsWith('ERR_')) throw cause;
    const message = `"${path}" is damaged: ${(cause as Error).message}\nHint: copy or build it again. Nothing was sent`;
    throw new DataError(message, { path }, { cause });
  }
  return files;
}

async function stored({ path, bytes, executable, content }: TarFile, at: string): Promise<UnpackedFile> {
  const hash = createHash('sha256');
  const file = await open(at, 'wx', 0o600);
  try {
    for await (const part of content) {
      hash.update(part);
      await file.writeFile(part);
    }
  } finally {
    await file.close();
  }
  return { path, bytes, mode: executable ? '755' : '644', sha256: hash.digest('hex'), at };
}

/** Of the two files that speak of all others. */
const MAX_TEXT_BYTES = 32 * 2 ** 20;

async function readText(bundle: string, files: readonly UnpackedFile[], name: string): Promise<string> {
  const file = files.find(({ path }) => path === name);
  if (file === undefined) throw new DataError(`"${bundle}" is no bundle: it has no ${name}`, { path: bundle });
  if (file.bytes > MAX_TEXT_BYTES)
    throw new DataError(`${name} of "${bundle}" has ${file.bytes} bytes`, { path: bundle });
  return readFile(file.at, 'utf8');
}
