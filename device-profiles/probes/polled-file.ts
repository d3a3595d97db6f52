/** @file A file of the kernel's that is read again and again. */
import { closeSync, openSync, readSync } from 'node:fs';

/** One for all: reading is synchronous. Files of /proc and /sys that are polled are smaller. */
const buffer = Buffer.allocUnsafeSlow(2 ** 15);

/**
 * Stays open and is read from the beginning each time, which makes the kernel write it anew. Synchronous: a read through the
 * thread pool costs ten times the processor time.
 */
export class PolledFile {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Null if it cannot be opened. */
  static open(path: string): PolledFile | null {
    try {
      return new PolledFile(openSync(path, 'r'));
    } catch {
      return null;
    }
  }

  /** Empty once what the file tells of is gone. */
  text(): string {
    try {
      return buffer.toString('latin1', 0, readSync(this.#fd, buffer, 0, buffer.length, 0));
    } catch {
      return '';
    }
  }

  /** The number that the file begins with; null if there is none. */
  number(): number | null {
    const digits = /^-?\d+/.exec(this.text())?.[0];
    return digits === undefined ? null : Number(digits);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
