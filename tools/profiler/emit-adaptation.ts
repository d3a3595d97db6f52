/** @file What an adaptation says to its profiler: a call of the adapter counts as a step. */
import type { SessionEvent, SessionResult } from '../../runtime/adapt/session.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import type { ProfileEmitter } from './emit.ts';

export class AdaptationEmitter implements Disposable {
  readonly #profile: ProfileEmitter;
  #calls = 0;

  private constructor(profile: ProfileEmitter) {
    this.#profile = profile;
  }

  /** Null where nobody profiles. @param plan of the adapter that has been opened */
  static of(profile: ProfileEmitter | null, plan: Plan): AdaptationEmitter | null {
    if (profile === null) return null;
    profile.planned(plan);
    profile.mark('opened');
    return new AdaptationEmitter(profile);
  }

  event({ kind }: SessionEvent): void {
    if (kind === 'batch') this.#profile.mark('step', ++this.#calls);
  }

  finished({ memory }: SessionResult): void {
    this.#profile.arena(memory.highWaterBytes);
    this.#profile.mark('finished');
  }

  [Symbol.dispose](): void {
    this.#profile.close();
  }
}
