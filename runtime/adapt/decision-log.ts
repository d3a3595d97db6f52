/** @file What the guards decided, for people to read later: one JSON object a line. */
import { appendFile, readFile, rename, stat } from 'node:fs/promises';
import { writeAtomically } from '../delta/atomic-file.ts';

export interface Decision {
  /** Index of the last frame of the call. */
  readonly frame: number;
  readonly reason: string;
  readonly updated: boolean;
}

/** From this size on the lines go on in a new file, and the one before is kept as `<path>.1`. */
const MOST_BYTES = 16 * 2 ** 20;

/**
 * Logs each update, and other decisions where the reason is another than before. A disk that refuses ends the log and nothing
 * else.
 */
export class DecisionLog {
  readonly #path: string;
  #bytes: number;
  #last: string | null = null;
  #failure: Error | null = null;

  private constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** @param next Index of the first frame that is still to come: lines of it and later ones are removed. */
  static async open(path: string, next: number): Promise<DecisionLog> {
    const found = await readFile(path, 'utf8').catch(() => '');
    const kept = found.split('\n').filter((line) => line !== '' && frameOf(line) < next);
    const text = kept.map((line) => `${line}\n`).join('');
    if (text !== found) await writeAtomically(path, [Buffer.from(text)]);
    const log = new DecisionLog(path, Buffer.byteLength(text));
    const last = kept.at(-1);
    if (last !== undefined) log.#last = (JSON.parse(last) as Decision).reason;
    return log;
  }

  /** Why nothing is logged any more. */
  get failure(): Error | null {
    return this.#failure;
  }

  async add({ frame, reason, updated }: Decision): Promise<void> {
    if (this.#failure || (!updated && reason === this.#last)) return;
    this.#last = reason;
    const line = `${JSON.stringify({ frame, reason, updated })}\n`;
    try {
      await appendFile(this.#path, line);
      this.#bytes += line.length;
      if (this.#bytes >= MOST_BYTES) await this.#turnOver();
    } catch (error) {
      this.#failure = error as Error;
    }
  }

  async #turnOver(): Promise<void> {
    await rename(this.#path, `${this.#path}.1`);
    this.#bytes = (await stat(this.#path).catch(() => null))?.size ?? 0;
  }
}

/** Infinite for a line that was cut off by a crash. */
function frameOf(line: string): number {
  try {
    return (JSON.parse(line) as Decision).frame;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
