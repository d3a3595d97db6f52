/** @file What a training says to its profiler. */
import type { EngineMillis } from '../../runtime/engine/engine.ts';
import type { Plan } from '../../runtime/plan/plan.ts';
import type { RunEvent, TrainResult } from '../../runtime/train/train.ts';
import type { ProfileEmitter } from './emit.ts';

const governorMarks = { shrink: 'shrunk', pause: 'paused', resume: 'resumed', grow: 'grown' } as const;

export class TrainingEmitter implements Disposable {
  readonly #profile: ProfileEmitter;
  #plan: Plan | null = null;
  #steps = 0;
  /** As the engine counted them before the first step and after the last one. */
  readonly #millis: EngineMillis[] = [];

  private constructor(profile: ProfileEmitter) {
    this.#profile = profile;
  }

  /** Null where nobody profiles. */
  static of(profile: ProfileEmitter | null): TrainingEmitter | null {
    return profile && new TrainingEmitter(profile);
  }

  event(event: RunEvent): void {
    switch (event.kind) {
      case 'plan':
        // Told when the engine stands.
        this.#plan = event.plan;
        this.#profile.planned(event.plan);
        this.#profile.mark('opened');
        break;
      case 'accuracy':
        this.#profile.mark('evaluated');
        break;
      case 'step':
        this.#steps += 1;
        this.#profile.mark('step', event.step, event.millis);
        break;
      case 'epoch':
        this.#profile.mark('epoch', event.epoch + 1);
        break;
      case 'governor':
        if (event.action !== 'trim') this.#profile.mark(governorMarks[event.action]);
        break;
      case 'statistics':
        this.#millis.push(event.statistics.millis);
        break;
    }
  }

  async finished(result: TrainResult): Promise<void> {
    this.#profile.arena(result.arenaHighWaterBytes);
    await this.#times();
    if (result.export !== null) this.#profile.mark('exported');
    this.#profile.mark('finished');
  }

  /** Loaded last, so that the kernels' declarations are not in memory while it is measured. */
  async #times(): Promise<void> {
    const [before, after] = this.#millis;
    if (!this.#plan || !before || !after || this.#steps === 0) return;
    const { millisBetween, stepTimes } = await import('./step-times.ts');
    this.#profile.steps(stepTimes(this.#plan, millisBetween(before, after), this.#steps));
  }

  [Symbol.dispose](): void {
    this.#profile.close();
  }
}
