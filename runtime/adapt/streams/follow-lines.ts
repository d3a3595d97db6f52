/** @file The lines of a text file that grows, such as labels that somebody appends. */

import { open, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

export interface FollowOptions {
  /** Ends the lines. */
  readonly signal: AbortSignal;
  /** How often the file is looked at; default 500. */
  readonly pollMillis?: number;
}

/** Longest line; longer ones are passed over in pieces, which are no JSON. */
const mostLineBytes = 2 ** 16;
const newline = 0x0a;
/** What was read last is looked at again before what comes after it: a new file may have the number of one that is gone. */
const tailBytes = 64;

/**
 * Gives each whole line once, from the file's beginning, without its end; empty ones are left out. The file may come later,
 * be cut short, be replaced or be gone for a while: a new or shorter one is read from its beginning.
 */
export async function* followLines(path: string, { signal, pollMillis = 500 }: FollowOptions): AsyncGenerator<string> {
  let [position, file] = [0, ''];
  let [rest, tail] = [Buffer.alloc(0), Buffer.alloc(0)];
  const begin = (): void => {
    [position, rest, tail] = [0, Buffer.alloc(0), Buffer.alloc(0)];
  };
  while (!signal.aborted) {
    const found = await stat(path).catch(() => null);
    const identity = found ? `${found.dev}:${found.ino}` : file;
    if (identity !== file || (found && found.size < position)) begin();
    file = identity;
    while (found && position < found.size && !signal.aborted) {
      const again = await readFrom(path, position - tail.length);
      // Cut short since, or not to be read now.
      if (again.length <= tail.length) break;
      if (!again.subarray(0, tail.length).equals(tail)) {
        begin();
        continue;
      }
      const read = again.subarray(tail.length);
      position += read.length;
      tail = Buffer.from(again.subarray(-tailBytes));
      rest = Buffer.concat([rest, read]);
      for (let end = rest.indexOf(newline); end >= 0; end = rest.indexOf(newline)) {
        const line = rest.toString('utf8', 0, end).trim();
        rest = rest.subarray(end + 1);
        if (line !== '') yield line;
      }
      if (rest.length > mostLineBytes) {
        yield rest.toString('utf8');
        rest = Buffer.alloc(0);
      }
    }
    await delay(pollMillis, undefined, { signal }).catch(() => {});
  }
}

/** The next bytes, as many as a line may have; none if the file cannot be read now. */
async function readFrom(path: string, position: number): Promise<Buffer> {
  const file = await open(path).catch(() => null);
  if (file === null) return Buffer.alloc(0);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(mostLineBytes), 0, mostLineBytes, position);
    return buffer.subarray(0, bytesRead);
  } catch {
    return Buffer.alloc(0);
  } finally {
    await file.close();
  }
}
