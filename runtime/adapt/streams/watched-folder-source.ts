/** @file Frames from the images that appear in a folder while it is watched. */

import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DataError } from '../../errors.ts';
import { imageName } from './folder-source.ts';
import { arrivesNow, type Frame } from './frame.ts';
import type { FrameDecoder } from './frame-decoder.ts';
import { decodeFrames, type FoundFrame, type FrameSource, SourceCounter } from './frame-source.ts';
import { compareNaturally } from './natural-order.ts';

export interface WatchOptions {
  /** Whether images that are there already count as new; default false. */
  readonly existing: boolean;
  /** A file whose size and time did not change for so long is complete; default 200. */
  readonly settleMillis: number;
}

/** How often the folder is listed without a notice of the system, which network file systems never give. */
const listMillis = 2000;

/** A file that is still growing, or may be. */
interface Pending {
  readonly size: number;
  readonly modifiedMillis: number;
  /** When it was seen so first, by the monotonic clock. */
  readonly sinceMillis: number;
}

/**
 * Gives each file once: neither a rename nor a change of a file that was given makes it new. A file that takes the name of a
 * deleted one is new. Hidden files, other names than images' and folders are not looked at, so a writer that wants no wait
 * writes elsewhere and renames.
 */
export class WatchedFolderSource implements FrameSource {
  readonly name: string;
  readonly live = true;
  readonly replies = null;
  readonly #options: WatchOptions;
  readonly #decoder: FrameDecoder;
  readonly #counter = new SourceCounter();
  readonly #closing = new AbortController();
  /** Identity of the file that each known name stood for; names that are gone are forgotten. */
  readonly #given: Map<string, string>;
  readonly #pending = new Map<string, Pending>();

  private constructor(folder: string, options: WatchOptions, given: Map<string, string>, decoder: FrameDecoder) {
    this.name = folder;
    this.#options = options;
    this.#given = given;
    this.#decoder = decoder;
  }

  /** @throws DataError if the folder cannot be listed */
  static async open(folder: string, options: WatchOptions, decoder: FrameDecoder): Promise<WatchedFolderSource> {
    const names = await listNames(folder).catch((cause: Error) => {
      throw new DataError(`${folder}: cannot be watched (${cause.message})`, { folder }, { cause });
    });
    const given = new Map<string, string>();
    for (const name of options.existing ? [] : names) {
      const file = await look(join(folder, name));
      if (file) given.set(name, file.identity);
    }
    return new WatchedFolderSource(folder, options, given, decoder);
  }

  counts() {
    return this.#counter.counts();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
    yield* decodeFrames(this.#appearing(), this.#decoder, this.#counter);
  }

  async *#appearing(): AsyncGenerator<FoundFrame> {
    using notice = new Notice(this.name);
    while (!this.#closing.signal.aborted) {
      for (const name of await this.#complete()) {
        if (this.#closing.signal.aborted) return;
        const path = join(this.name, name);
        yield { name, arrival: arrivesNow(), image: { kind: 'file', path } };
      }
      const wait = this.#pending.size > 0 ? this.#options.settleMillis : listMillis;
      await notice.wait(wait, this.#closing.signal);
      // Many notices come while a file is written; one look for all of them.
      await delay(Math.min(20, wait), undefined, { signal: this.#closing.signal }).catch(() => {});
    }
  }

  /** New files that are complete, the oldest first. */
  async #complete(): Promise<string[]> {
    // A folder that is gone, or cannot be reached for a while, may come back.
    const names = await listNames(this.name).catch(() => []);
    const present = new Set(names);
    const unknown = names.filter((name) => !this.#given.has(name));
    const identities = unknown.length > 0 ? new Set(this.#given.values()) : null;
    const complete: { readonly name: string; readonly modifiedMillis: number }[] = [];
    for (const name of unknown) {
      const file = await look(join(this.name, name));
      if (file === null) continue;
      if (identities?.has(file.identity)) this.#given.set(name, file.identity);
      else if (this.#hasSettled(name, file)) {
        this.#given.set(name, file.identity);
        this.#pending.delete(name);
        complete.push({ name, modifiedMillis: file.modifiedMillis });
      }
    }
    for (const known of [this.#given, this.#pending]) {
      for (const name of known.keys()) if (!present.has(name)) known.delete(name);
    }
    complete.sort((a, b) => a.modifiedMillis - b.modifiedMillis || compareNaturally(a.name, b.name));
    return complete.map(({ name }) => name);
  }

  #hasSettled(name: string, { size, modifiedMillis }: LookedAt): boolean {
    const before = this.#pending.get(name);
    const now = performance.now();
    if (before && before.size === size && before.modifiedMillis === modifiedMillis) {
      return size > 0 && now - before.sinceMillis >= this.#options.settleMillis;
    }
    this.#pending.set(name, { size, modifiedMillis, sinceMillis: now });
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
  }
}

interface LookedAt {
  readonly size: number;
  readonly modifiedMillis: number;
  /** The same file under any name, as long as it is not written to. */
  readonly identity: string;
}

/** Null if it is gone or not a file. */
async function look(path: string): Promise<LookedAt | null> {
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) return null;
  const { dev, ino, size, mtimeMs } = found;
  return { size, modifiedMillis: mtimeMs, identity: `${dev}:${ino}:${size}:${mtimeMs}` };
}

async function listNames(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => !name.startsWith('.') && imageName.test(name));
}

/** Waits for the system to say that something changed in a folder. */
class Notice implements Disposable {
  readonly #watcher: FSWatcher | null;
  #changed = false;
  #wake: (() => void) | null = null;

  constructor(folder: string) {
    this.#watcher = watchOrNull(folder);
    this.#watcher?.on('change', () => {
      this.#changed = true;
      this.#wake?.();
    });
    // Without notices, as after the folder was removed, listing now and then goes on.
    this.#watcher?.on('error', () => this.#watcher?.close());
  }

  /** Until the next change since the last wait, at most so long. */
  async wait(millis: number, signal: AbortSignal): Promise<void> {
    if (!this.#changed && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, millis);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        signal.addEventListener('abort', this.#wake, { once: true });
      });
      if (this.#wake) signal.removeEventListener('abort', this.#wake);
      this.#wake = null;
    }
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}

function watchOrNull(folder: string): FSWatcher | null {
  try {
    return watch(folder);
  } catch {
    // No inotify watches are left; listing does without.
    return null;
  }
}
