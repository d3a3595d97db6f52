/** @file Reads a byte stream that comes in chunks of any size as if it were one buffer, within a limit. */

import { crc32 } from 'node:zlib';
import { DataError } from '../../errors.ts';

const firstCapacity = 2 ** 16;

/** The bytes of a stream that were not taken yet; offsets count from the first of them. */
export class ByteReader {
  /** What is read, for messages. */
  readonly name: string;
  /** Most bytes that may be asked to be held at once. */
  readonly limitBytes: number;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #buffer = Buffer.allocUnsafe(firstCapacity);
  #start = 0;
  #end = 0;
  #ended = false;

  constructor(name: string, stream: AsyncIterable<Uint8Array>, limitBytes: number) {
    this.name = name;
    this.limitBytes = limitBytes;
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** Bytes held now. */
  get length(): number {
    return this.#end - this.#start;
  }

  /**
   * Reads on until `length` bytes are held; false if the stream ends before.
   * @throws DataError if that is more than the limit
   */
  async fill(length: number): Promise<boolean> {
    if (length > this.limitBytes) {
      throw new DataError(
        `${this.name}: no end of an image within ${this.limitBytes} bytes\n` +
          'Hint: expected JPEG or PNG images one after the other, MJPEG, or raw RGB with its size.',
        { source: this.name, limitBytes: this.limitBytes },
      );
    }
    while (this.length < length && !this.#ended) {
      const { done, value } = await this.#chunks.next();
      if (done) this.#ended = true;
      else this.#append(value);
    }
    return this.length >= length;
  }

  byte(offset: number): number {
    return this.#buffer[this.#start + offset] as number;
  }

  uint16(offset: number): number {
    return this.#buffer.readUInt16BE(this.#start + offset);
  }

  uint32(offset: number): number {
    return this.#buffer.readUInt32BE(this.#start + offset);
  }

  crc32(offset: number, length: number): number {
    return crc32(this.#buffer.subarray(this.#start + offset, this.#start + offset + length));
  }

  /** One character a byte. */
  text(offset: number, length: number): string {
    return this.#buffer.toString('latin1', this.#start + offset, Math.min(this.#start + offset + length, this.#end));
  }

  /** Where a byte, or a run of bytes, comes first from `offset` on; -1 if it is not held. */
  indexOf(wanted: number | Uint8Array, offset: number): number {
    return this.#buffer.subarray(this.#start, this.#end).indexOf(wanted, offset);
  }

  startsWith(bytes: Uint8Array): boolean {
    return this.length >= bytes.length && bytes.every((byte, i) => byte === this.byte(i));
  }

  /** Removes the first bytes and gives them as a copy. */
  take(length: number): Uint8Array {
    const bytes = new Uint8Array(this.#buffer.subarray(this.#start, this.#start + length));
    this.skip(length);
    return bytes;
  }

  skip(length: number): void {
    this.#start = Math.min(this.#start + length, this.#end);
  }

  #append(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#buffer.length) {
      const held = this.length;
      let capacity = firstCapacity;
      while (capacity < held + chunk.length) capacity *= 2;
      // A buffer that one large image made long becomes short again with the next small ones.
      const target =
        capacity > this.#buffer.length || capacity * 4 < this.#buffer.length
          ? Buffer.allocUnsafe(capacity)
          : this.#buffer;
      this.#buffer.copy(target, 0, this.#start, this.#end);
      this.#buffer = target;
      this.#start = 0;
      this.#end = held;
    }
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }
}
