/** @file Reads a tar of plain files as it comes: ustar, with the long names of pax and of GNU tar. Nothing else is taken. */
import { DataError } from '../../../runtime/errors.ts';

export interface TarLimits {
  readonly entries: number;
  /** Of all contents together. */
  readonly bytes: number;
}

export interface TarFile {
  /** As the archive has it; whether it may be a path here is for the caller to judge. */
  readonly path: string;
  readonly bytes: number;
  readonly executable: boolean;
  /** Must be read to its end before the next file is asked for. */
  readonly content: AsyncIterable<Uint8Array>;
}

const BLOCK = 512;
/** A name longer than this is no name. */
const NAME_BYTES = 4096;

/**
 * The files of an archive in its order.
 * @param name of the archive, for messages
 * @throws DataError for links, folders and devices, a wrong checksum, more than the limits, an end that is missing
 */
export async function* readTar(
  name: string,
  source: AsyncIterable<Uint8Array>,
  limits: TarLimits,
): AsyncGenerator<TarFile> {
  const blocks = new Blocks(name, source);
  let [entries, bytes, longName] = [0, 0, ''];
  for (;;) {
    const header = await blocks.take(BLOCK);
    if (header.every((byte) => byte === 0)) break;
    const { path, size, type, mode } = headerOf(name, header);
    if (type === 'x' || type === 'L') {
      if (size > NAME_BYTES) throw damaged(name, `a name of ${size} bytes`);
      const text = new TextDecoder().decode(await blocks.take(size));
      await blocks.skip(padding(size));
      longName = type === 'L' ? text.replace(/\0.*$/s, '') : paxPath(name, text);
      continue;
    }
    const full = longName || path;
    longName = '';
    if (type !== '0' && type !== '\0') {
      throw damaged(
        name,
        `"${full}" is ${kinds[type] ?? `an entry of type ${JSON.stringify(type)}`}; expected files only`,
      );
    }
    entries += 1;
    bytes += size;
    if (entries > limits.entries) throw damaged(name, `more than ${limits.entries} files`);
    if (bytes > limits.bytes) throw damaged(name, `more than ${limits.bytes} bytes when unpacked`);
    yield { path: full, bytes: size, executable: (mode & 0o100) !== 0, content: blocks.stream(size) };
    await blocks.skip(padding(size));
  }
  await blocks.zeros();
}

const kinds: Readonly<Record<string, string>> = {
  1: 'a hard link',
  2: 'a symbolic link',
  3: 'a device',
  4: 'a device',
  5: 'a folder',
  6: 'a pipe',
};

const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;
const damaged = (name: string, problem: string): DataError =>
  new DataError(`"${name}" is damaged or no archive of ours: ${problem}`, { path: name });

function headerOf(name: string, header: Uint8Array) {
  const field = (from: number, to: number) => new TextDecoder().decode(header.subarray(from, to)).replace(/\0.*$/s, '');
  const number = (from: number, to: number): number => {
    const text = field(from, to).trim();
    if (!/^[0-7]+$/.test(text)) throw damaged(name, `${JSON.stringify(text)} where a number in octal should be`);
    return Number.parseInt(text, 8);
  };
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (number(148, 156) !== sum) throw damaged(name, 'the checksum of a header is wrong');
  const prefix = field(257, 262) === 'ustar' && field(263, 265) === '00' ? field(345, 500) : '';
  const path = field(0, 100);
  return {
    path: prefix === '' ? path : `${prefix}/${path}`,
    mode: number(100, 108),
    size: number(124, 136),
    type: String.fromCharCode(header[156] ?? 0),
  };
}

/** Records `length key=value\n`; only the path is of use, and sizes are never beyond what a header can say. */
function paxPath(name: string, text: string): string {
  let path = '';
  for (let rest = text; rest !== ''; ) {
    const match = /^(\d+) ([^=]+)=/.exec(rest);
    const length = Number(match?.[1] ?? 0);
    const bytes = new TextEncoder().encode(rest);
    if (!match || length <= match[0].length || length > bytes.length)
      throw damaged(name, 'an extended header is wrong');
    if (match[2] === 'path') path = new TextDecoder().decode(bytes.subarray(match[0].length, length - 1));
    else if (match[2] === 'size' || match[2] === 'linkpath') throw damaged(name, `an extended header sets ${match[2]}`);
    rest = new TextDecoder().decode(bytes.subarray(length));
  }
  return path;
}

/** Bytes of a source in the portions that are asked for. */
class Blocks {
  readonly #name: string;
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(name: string, source: AsyncIterable<Uint8Array>) {
    this.#name = name;
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Some bytes, `most` at most; none at the end. */
  async #some(most: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next();
      if (done === true) return this.#rest;
      this.#rest = value;
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  async *stream(bytes: number): AsyncGenerator<Uint8Array> {
    for (let left = bytes; left > 0; ) {
      const part = await this.#some(left);
      if (part.length === 0) throw damaged(this.#name, 'it ends too early');
      left -= part.length;
      yield part;
    }
  }

  async take(bytes: number): Promise<Uint8Array> {
    const whole = new Uint8Array(bytes);
    let at = 0;
    for await (const part of this.stream(bytes)) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  async skip(bytes: number): Promise<void> {
    for await (const _ of this.stream(bytes));
  }

  /** The second of the two empty blocks of the end, and whatever fills the last record. */
  async zeros(): Promise<void> {
    let bytes = 0;
    for (;;) {
      const part = await this.#some(Number.POSITIVE_INFINITY);
      if (part.length === 0) break;
      if (part.some((byte) => byte !== 0)) throw damaged(this.#name, 'something follows its end');
      bytes += part.length;
    }
    if (bytes < BLOCK) throw damaged(this.#name, 'it ends too early');
  }
}
