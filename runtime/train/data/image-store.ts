/**
 * @file Decoded images in one file, read back by position, so that memory does not grow with the data set.
 *
 * Two files in the caller's folder: `images-<key>.u8`, the pixels (imageSize^2 x 3 bytes an image, one after the
 * other), and `images-<key>.json`, written last, which says that the first is complete and which images were left out.
 * The key is a hash over names, sizes, times and options: a resumed run finds the same files and decodes nothing.
 * A set too large for the disk limit is only checked, and decoded again whenever an image is asked for.
 */

import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { DataError } from '../../errors.ts';
import { type DecodeOptions, type ImageSource, openDecoder } from './decode.ts';
import type { Progress, StoreJob, StoreResult } from './store-builder.ts';
import type { StoreMessage } from './store-process.ts';

export interface ImageStoreOptions extends DecodeOptions {
  /** Folder for the two files; made if missing. */
  readonly folder: string;
  /** Larger than this is not stored but decoded on demand. */
  readonly maxBytes: number;
  readonly onProgress?: (progress: Progress) => void;
}

export interface ImageStore extends AsyncDisposable {
  readonly result: StoreResult;
  /** False if images are decoded on demand. */
  readonly stored: boolean;
  /** True if a finished store of an earlier run was used. */
  readonly reused: boolean;
  /** Fills `target` (imageSize^2 x 3 bytes) with the position-th kept image. */
  read(position: number, target: Uint8Array): Promise<void>;
}

/** Counts up when the layout of the files or the way of decoding changes; older stores are then not found. */
const storeVersion = 1;

/**
 * Opens the store of a source, building it if there is none.
 *
 * @param images Number of images in the source.
 * @throws DataError if decoding stops or the disk is full; nothing is left behind then.
 */
export async function openImageStore(
  source: ImageSource,
  images: number,
  options: ImageStoreOptions,
): Promise<ImageStore> {
  const { folder, imageSize, fit, threads, maxBytes, onProgress = () => undefined } = options;
  const imageBytes = imageSize * imageSize * 3;
  const stored = images * imageBytes <= maxBytes;
  const key = await keyOf(source, { storeVersion, imageSize, fit, stored });
  const base = join(folder, `images-${key.slice(0, 16)}`);
  const known = await readResult(base, key, stored ? imageBytes : null);
  if (!known) await prepareFolder(folder, base, stored ? images * imageBytes : 0);
  const part = `${base}.${process.pid}.part`;
  const result =
    known ??
    (await buildInProcess({ source, decode: { imageSize, fit, threads }, file: stored ? part : null }, onProgress));
  if (!known) {
    if (stored) await rename(part, `${base}.u8`);
    await writeResult(base, key, result);
  }
  const reader = stored ? await fileReader(`${base}.u8`, imageBytes) : await decodingReader(source, options, result);
  return { result, stored, reused: known !== null, ...reader };
}

type Reader = Pick<ImageStore, 'read' | typeof Symbol.asyncDispose>;

async function fileReader(path: string, imageBytes: number): Promise<Reader> {
  const file: FileHandle = await open(path, 'r');
  return {
    read: async (position, target) => {
      let done = 0;
      while (done < imageBytes) {
        const { bytesRead } = await file.read(target, done, imageBytes - done, position * imageBytes + done);
        if (bytesRead === 0) {
          throw new DataError(`${path}: ends before image ${position}\nHint: the file was changed; start again.`, {
            path,
            position,
          });
        }
        done += bytesRead;
      }
    },
    [Symbol.asyncDispose]: () => file.close(),
  };
}

async function decodingReader(source: ImageSource, options: DecodeOptions, { kept }: StoreResult): Promise<Reader> {
  const decoder = await openDecoder(source, options);
  return {
    read: async (position, target) => {
      const image = kept[position] as number;
      try {
        target.set(await decoder.decode(image));
      } catch (cause) {
        const name = source.kind === 'files' ? source.paths[image] : `${source.path}, image ${image}`;
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new DataError(`${name}: could be decoded before but not now: ${reason}`, { path: name }, { cause });
      }
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** Makes the folder, clears what a killed run left of the same store, and looks whether the pixels will fit. */
async function prepareFolder(folder: string, base: string, neededBytes: number): Promise<void> {
  let freeBytes: number;
  try {
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(folder)) {
      const pid = Number(/\.(\d+)\.part$/.exec(name)?.[1]);
      if (name.startsWith(basename(base)) && pid > 0 && !isRunning(pid)) await rm(join(folder, name), { force: true });
    }
    const { bavail, bsize } = await statfs(folder);
    freeBytes = bavail * bsize;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${folder}: cannot hold decoded images (${reason})`, { folder }, { cause });
  }
  if (freeBytes < neededBytes) {
    throw new DataError(
      `${folder}: not enough disk for the decoded images, expected ${neededBytes} bytes free but got ${freeBytes}\n` +
        'Hint: free some space, name another folder, or use fewer or smaller images.',
      { folder, neededBytes, freeBytes },
    );
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Runs the job in a child process, whose memory is gone when training begins. */
function buildInProcess(job: StoreJob, onProgress: (progress: Progress) => void): Promise<StoreResult> {
  return new Promise((resolve, reject) => {
    const child = fork(new URL('./store-process.js', import.meta.url), { execArgv: [], serialization: 'advanced' });
    let settled = false;
    const fail = async (error: DataError) => {
      if (settled) return;
      settled = true;
      if (job.file !== null) await rm(job.file, { force: true });
      reject(error);
    };
    child.on('message', (raw) => {
      const message = raw as StoreMessage;
      if (message.kind === 'progress') onProgress(message.progress);
      else if (message.kind === 'error') void fail(buildError(job, message));
      else {
        settled = true;
        resolve(message.result);
      }
    });
    child.on('error', (cause) => void fail(new DataError(`decoding images: ${cause.message}`, {}, { cause })));
    child.on('exit', (code, signal) => {
      void fail(
        new DataError(
          `decoding images: the process ended early (${signal ?? `exit code ${code}`})\n` +
            'Hint: SIGKILL often means that memory ran out; lower the number of threads or resize the images first.',
          { code, signal },
        ),
      );
    });
    child.send(job);
  });
}

function buildError(job: StoreJob, { message, code, facts }: StoreMessage & { kind: 'error' }): DataError {
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DataError(
      `${job.file}: the disk is full while writing decoded images (${code})\n` +
        'Hint: free some space, name another folder, or use fewer or smaller images.',
      { file: job.file, code },
    );
  }
  return facts ? new DataError(message, facts) : new DataError(`decoding images: ${message}`, { code });
}

/** sha256 over what the pixels depend on: every file's name, size and time, and the options. */
async function keyOf(source: ImageSource, options: object): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(options));
  const paths = source.kind === 'files' ? source.paths : [source.path];
  for (const path of paths) {
    // A file that cannot be looked at now will be reported when it is decoded.
    const found = await stat(path).catch(() => null);
    hash.update(JSON.stringify([resolve(path), found?.size ?? null, found?.mtimeMs ?? null]));
  }
  if (source.kind === 'idx') hash.update(JSON.stringify(source.limit));
  return hash.digest('hex');
}

/** What an earlier run noted, if it belongs to this key and its pixels are all there. */
async function readResult(base: string, key: string, imageBytes: number | null): Promise<StoreResult | null> {
  try {
    const noted = JSON.parse(await readFile(`${base}.json`, 'utf8')) as { key: string; result: StoreResult };
    if (noted.key !== key) return null;
    if (imageBytes === null) return noted.result;
    const { size } = await stat(`${base}.u8`);
    return size === noted.result.kept.length * imageBytes ? noted.result : null;
  } catch {
    // Missing or damaged: it is built again.
    return null;
  }
}

async function writeResult(base: string, key: string, result: StoreResult): Promise<void> {
  const part = `${base}.json.${process.pid}.part`;
  try {
    await writeFile(part, JSON.stringify({ key, result }));
    await rename(part, `${base}.json`);
  } catch (cause) {
    await rm(part, { force: true });
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${base}.json: cannot be written (${reason})`, { file: `${base}.json` }, { cause });
  }
}
