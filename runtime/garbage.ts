/** @file Giving memory back that V8 would keep, because it does not see how large the bytes behind small objects are. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

interface Powers {
  readonly gc: () => void;
  /** ArrayBuffer.prototype.transfer, ES2024; Node 20 has it behind a flag. */
  readonly transfer: (this: ArrayBuffer, newLength: number) => ArrayBuffer;
}

let powers: Powers | undefined;

/** What a context that was made after the flags has. */
function givenPowers(): Powers {
  if (!powers) {
    setFlagsFromString('--expose-gc');
    if (!('transfer' in ArrayBuffer.prototype)) setFlagsFromString('--harmony-rab-gsab-transfer');
    // Freed at once, not by a helper thread whenever a busy machine lets it run.
    setFlagsFromString('--no-concurrent-array-buffer-sweeping');
    powers = runInNewContext('({ gc, transfer: ArrayBuffer.prototype.transfer })') as Powers;
  }
  return powers;
}

/** Collects everything (some milliseconds). */
export function releaseGarbage(): void {
  givenPowers().gc();
}

/** Frees the bytes behind an array at once, collection or not; whatever views them has length 0 afterwards. */
export function freeNow({ buffer }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > 0) givenPowers().transfer.call(buffer, 0);
}

/** Collects all garbage whenever so many bytes of it have come together. */
export class GarbageMeter {
  readonly #limitBytes: number;
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Counts bytes that nobody will read again. */
  drop(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#limitBytes) return;
    this.#bytes = 0;
    releaseGarbage();
  }
}
