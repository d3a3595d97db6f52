/** @file Time as the sessions see it, so that tests need not wait for it. */
import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Since some moment in the past, by a clock that nobody sets. */
  nowMillis(): number;
  /** Resolves after that time, or as soon as the signal is aborted. */
  wait(millis: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  nowMillis: () => performance.now(),
  wait: (millis, signal) => delay(millis, undefined, signal && { signal }).catch(() => {}),
};
