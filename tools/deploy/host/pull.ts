/** @file Brings home what a board has learnt, into a folder that is there whole or not at all. */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { diskError } from '../../../runtime/delta/atomic-file.ts';
import { DataError, EdgeshiftError } from '../../../runtime/errors.ts';
import { Board, BoardError } from './board.ts';
import { folderName, type Host } from './host.ts';
import type { SshOptions } from './ssh.ts';
import { readTar } from './tar-reader.ts';

export interface Pulled {
  readonly host: Host;
  readonly folder: string;
  /** Seen from the folder. */
  readonly files: readonly string[];
  readonly bytes: number;
}

export interface PullOptions {
  readonly ssh?: SshOptions;
  /** Each pull gets a folder of its own: `out/<host>/<time>`. */
  readonly out: string;
  /** Bytes of all files at most. */
  readonly maxBytes: number;
  /** When it is; names the folder. */
  readonly time: Date;
}

const MAX_FILES = 65536;

/** @throws BoardError if there is nothing, DataError if what comes is damaged or cannot be stored; then nothing is left */
export async function pull(host: Host, { ssh, out, maxBytes, time }: PullOptions): Promise<Pulled> {
  await using board = await Board.open(host, ssh);
  const folder = join(out, folderName(host), time.toISOString().replaceAll(':', '-'));
  const staged = `${folder}.${process.pid}.tmp`;
  try {
    await mkdir(staged, { recursive: true });
    const received = await receive(board, staged, maxBytes);
    await rename(staged, folder);
    return { host, folder, ...received };
  } catch (error) {
    await rm(staged, { recursive: true, force: true });
    throw error instanceof EdgeshiftError ? error : diskError(folder, error);
  }
}

async function receive(board: Board, folder: string, maxBytes: number) {
  const child = board.start('pull');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 255)));
  child.stdin.end();
  const [files, name]: [string[], string] = [[], `what ${board.host.name} sent`];
  let bytes = 0;
  try {
    for await (const file of readTar(name, child.stdout, { entries: MAX_FILES, bytes: maxBytes })) {
      const path = join(folder, safePath(name, file.path));
      await mkdir(dirname(path), { recursive: true });
      await pipeline(file.content, createWriteStream(path, { flags: 'wx' }));
      files.push(file.path);
      bytes += file.bytes;
    }
  } catch (error) {
    child.kill();
    const code = await ended;
    // An archive that breaks off is the consequence; why it did is what counts.
    throw code > 0 && stderr !== '' ? new BoardError(board.host, 'pull', { code, stderr }) : error;
  }
  const code = await ended;
  if (code !== 0) throw new BoardError(board.host, 'pull', { code, stderr });
  return { files, bytes };
}

/** A board is not trusted with paths of the laptop. */
function safePath(name: string, path: string): string {
  const parts = path.split('/');
  const isSafe = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\\0]/.test(part));
  if (isSafe) return path;
  throw new DataError(`${name} names a path outside of the folder: ${JSON.stringify(path)}`, { path });
}
