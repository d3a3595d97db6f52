/** @file Frames of a byte stream, such as standard input. */

import type { Readable } from 'node:stream';
import { DataError } from '../../errors.ts';
import { ByteReader } from './byte-reader.ts';
import { arrivesNow, type Frame } from './frame.ts';
import type { FrameDecoder } from './frame-decoder.ts';
import { decodeFrames, type FoundFrame, type FrameSource, SourceCounter } from './frame-source.ts';
import { type RawSize, type StreamFormat, split } from './split.ts';

export interface ByteFormat {
  /** How the images follow each other. */
  readonly format: Exclude<StreamFormat, 'raw'> | RawSize;
  /** A stream without the end of an image within so many bytes is not one of images. */
  readonly limitBytes: number;
}

/** @throws DataError if the stream cannot be read, or holds no end of an image within the limit */
export class ByteSource implements FrameSource {
  readonly name: string;
  readonly live = true;
  readonly replies = null;
  readonly #stream: Readable;
  readonly #format: ByteFormat;
  readonly #decoder: FrameDecoder;
  readonly #counter = new SourceCounter();
  #closed = false;

  constructor(name: string, stream: Readable, format: ByteFormat, decoder: FrameDecoder) {
    this.name = name;
    this.#stream = stream;
    this.#format = format;
    this.#decoder = decoder;
  }

  counts() {
    return this.#counter.counts();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
    try {
      const found = findFrames(this.name, this.#stream, this.#format, this.#counter);
      yield* decodeFrames(found, this.#decoder, this.#counter);
    } catch (error) {
      if (this.#closed) return;
      if (error instanceof DataError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new DataError(`${this.name}: cannot be read on (${reason})`, { source: this.name }, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#stream.destroy();
  }
}

/** The images of a byte stream; bytes that belong to none are counted. */
export async function* findFrames(
  name: string,
  stream: AsyncIterable<Uint8Array>,
  { format, limitBytes }: ByteFormat,
  counter: SourceCounter,
): AsyncGenerator<FoundFrame> {
  const reader = new ByteReader(name, stream, limitBytes);
  for await (const piece of split(reader, format)) {
    if (piece.kind === 'garbage') {
      counter.garbageBytes += piece.length;
      continue;
    }
    const found = { name: `${name}:${counter.seen}`, arrival: arrivesNow() };
    if (piece.kind === 'damaged') yield { ...found, image: piece };
    else if (typeof format === 'object') yield { ...found, image: { kind: 'raw', bytes: piece.bytes, size: format } };
    else yield { ...found, image: { kind: 'encoded', bytes: piece.bytes } };
  }
}
