/** @file Memory of a control group in which only this process is real: its own bytes are the kernel's, those of others a number. */
import { readFileSync } from 'node:fs';
import { parseStatus } from '../../device-profiles/probes/process-status.ts';
import type { MemorySource } from '../../runtime/governor/governor.ts';
import type { MemoryReading } from '../../runtime/governor/memory-reading.ts';

/** Time passes from look to look, as far as the governor knows. */
const LOOK_MILLIS = 250;
/** Longer than a governor waits from look to look. */
const OVERDUE_MILLIS = 120;

export class VirtualNeighbour implements MemorySource {
  readonly limitBytes: number;
  #otherBytes = 0;
  #atMillis = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /**
   * Others hold so much from now on; they came to it while nobody looked, so that no speed is seen. The thread stands still until the
   * next look is due: it comes before the step after next, however fast steps are.
   */
  hold(bytes: number): void {
    this.#otherBytes = bytes;
    this.#atMillis += 60_000;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, OVERDUE_MILLIS);
  }

  /** Others take what is left and `bytes` of what this process holds, on top of so many that should stay free. */
  squeeze(bytes: number, freeBytes: number): void {
    this.hold(this.limitBytes - freeBytes - this.read().ownBytes + bytes);
  }

  read(): MemoryReading {
    this.#atMillis += LOOK_MILLIS;
    const ownBytes = parseStatus(readFileSync('/proc/self/status', 'latin1')).anonymousBytes;
    return {
      atMillis: this.#atMillis,
      group: { limitBytes: this.limitBytes, usedBytes: this.#otherBytes + ownBytes, shared: false },
      availableBytes: null,
      pressure: null,
      ownBytes,
    };
  }

  close(): void {}
}
