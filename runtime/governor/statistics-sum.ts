/** @file Statistics of a plan over all the engines that carried it out. */
import type { EngineStatistics } from '../engine/engine.ts';
import type { Plan } from '../plan/plan.ts';

/** What an engine counted, and for which plan. */
export interface Counted {
  readonly plan: Plan;
  readonly now: EngineStatistics;
}

export class StatisticsSum {
  readonly #plan: Plan;
  #sum: EngineStatistics;

  constructor(plan: Plan) {
    this.#plan = plan;
    const steps = plan.steps.map(() => 0);
    this.#sum = { arenaBytes: plan.arenaBytes, highWaterBytes: 0, millis: { prefix: 0, steps, optimizer: 0 } };
  }

  /** Those of other plans are left out. */
  add(counted: Counted): void {
    this.#sum = this.with(counted);
  }

  /** The sum, with an engine that still works. */
  with(counted: Counted | null): EngineStatistics {
    if (counted?.plan !== this.#plan) return this.#sum;
    const { arenaBytes, highWaterBytes, millis } = counted.now;
    const before = this.#sum;
    return {
      arenaBytes,
      highWaterBytes: Math.max(before.highWaterBytes, highWaterBytes),
      millis: {
        prefix: before.millis.prefix + millis.prefix,
        steps: before.millis.steps.map((sum, step) => sum + (millis.steps[step] ?? 0)),
        optimizer: before.millis.optimizer + millis.optimizer,
      },
    };
  }
}
