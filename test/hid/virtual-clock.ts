/** @file A clock that stands still until a test moves it. */
import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../runtime/hid/clock.ts';

interface Waiting {
  readonly atMillis: number;
  readonly resolve: () => void;
}

export class VirtualClock implements Clock {
  #nowMillis = 0;
  readonly #waiting = new Set<Waiting>();

  nowMillis(): number {
    return this.#nowMillis;
  }

  wait(millis: number, signal?: AbortSignal): Promise<void> {
    return new Promise((done) => {
      const resolve = () => {
        this.#waiting.delete(waiting);
        signal?.removeEventListener('abort', resolve);
        done();
      };
      const waiting = { atMillis: this.#nowMillis + millis, resolve };
      if (signal?.aborted) done();
      else this.#waiting.add(waiting);
      signal?.addEventListener('abort', resolve);
    });
  }

  /** Passes so much time; whoever waits is woken in the order of time, each to its end. */
  async advance(millis: number): Promise<void> {
    const until = this.#nowMillis + millis;
    for (;;) {
      await turn();
      const [next] = [...this.#waiting].sort((a, b) => a.atMillis - b.atMillis);
      if (!next || next.atMillis > until) break;
      this.#nowMillis = Math.max(this.#nowMillis, next.atMillis);
      next.resolve();
    }
    this.#nowMillis = until;
  }

  /** Passes time until the promise is settled. */
  async until<T>(promise: Promise<T>, stepMillis = 100): Promise<T> {
    let pending = true;
    const settled = promise.finally(() => {
      pending = false;
    });
    settled.catch(() => {});
    await turn();
    while (pending) await this.advance(stepMillis);
    return settled;
  }
}
