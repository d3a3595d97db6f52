/**
 * @file What gives way while a stream is predicted: garbage first, then adaptation. Predictions never stop. An adapter in the
 * background gives its memory back and goes on later where it stood; one that predicts itself only stops learning.
 */
import type { Governor, GovernorCounts } from './governor.ts';

/** An adapter in the background, as `BackgroundAdapter`. */
export interface Pausable {
  pause(): Promise<void>;
  resume(): Promise<void>;
}

export class AdaptationGovernor {
  readonly #governor: Governor;
  readonly #background: Pausable | null;
  #paused = false;
  /** Pausing or resuming goes on, beside the predictions. */
  #busy = false;
  /** What pausing gave back. */
  #freedBytes = 0;

  constructor(governor: Governor, background: Pausable | null) {
    this.#governor = governor;
    this.#background = background;
  }

  counts(): GovernorCounts {
    return this.#governor.counts();
  }

  /** To be asked before each call of the adapter. */
  mayAdapt(): boolean {
    const { level, lastingBytes, alone, reason } = this.#governor.verdict;
    if (!this.#busy) {
      const short = level === 'shrink' && !alone;
      const enough = lastingBytes !== null && lastingBytes >= this.#governor.ownBytes + this.#freedBytes;
      if (!this.#paused && short) this.#change('pause', reason);
      else if (this.#paused && (alone || (level === 'calm' && enough))) this.#change('resume', reason);
    }
    return !this.#paused;
  }

  #change(action: 'pause' | 'resume', reason: string): void {
    const governor = this.#governor;
    const before = governor.ownBytes;
    this.#paused = action === 'pause';
    this.#busy = true;
    governor.did(action, reason);
    if (action === 'resume') governor.expect(before + this.#freedBytes);
    const changed = this.#background?.[action]() ?? Promise.resolve();
    changed
      .then(() => {
        governor.look();
        if (action === 'pause') this.#freedBytes = Math.max(0, before - governor.ownBytes);
      })
      // An adapter that cannot be opened again leaves the predictions as they are; the next calm is another chance.
      .catch(() => {
        this.#paused = true;
      })
      .finally(() => {
        governor.expect(0);
        this.#busy = false;
      });
  }
}
