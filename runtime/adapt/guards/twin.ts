/** @file The frozen twin: the deployed model, beside which the adapted one must not know less. */
import type { Learner, Values } from '../learner.ts';
import { type Knowledge, knowledgeOn, knowledgeWith } from './knowledge.ts';
import type { GuardName } from './names.ts';

export type Verdict = 'fine' | 'worse' | 'collapsed';

/** Nats by which the twin must know more before the adapted model counts as worse; sampling moves I by about half of it. */
const MARGIN = 0.15;

/** Share of the twin's variety below which the adapted model's predictions have collapsed. */
const COLLAPSE = 0.5;

/** The adapted model beside its frozen twin on the same frames. */
export function compareWithTwin(adapted: Knowledge, twin: Knowledge): Verdict {
  if (adapted.variety < COLLAPSE * twin.variety) return 'collapsed';
  return adapted.information + MARGIN < twin.information ? 'worse' : 'fine';
}

export interface TwinOptions {
  /** Rounds between looks at the twin. */
  readonly every: number;
  /** `collapse` and `no-harm` count. */
  readonly guards: ReadonlySet<GuardName>;
}

/** Watches the adapted model beside the deployed one, and goes back where that knows more. */
export class FrozenTwin {
  readonly #learner: Learner;
  readonly #options: TwinOptions;
  /** Rounds that changed the model. */
  #rounds = 0;
  /** The model when it was last found as good as its twin. */
  #good: Values;

  constructor(learner: Learner, options: TwinOptions) {
    this.#learner = learner;
    this.#options = options;
    this.#good = learner.deployed;
  }

  /** After a round that changed the model: compares on the frames now and then. Null: nothing was done. */
  async ask(frames: Uint8Array, count: number): Promise<string | null> {
    const { every, guards } = this.#options;
    this.#rounds += 1;
    if (!(guards.has('no-harm') || guards.has('collapse')) || this.#rounds % every !== 0 || count === 0) return null;
    const { deployed } = this.#learner;
    const adapted = await knowledgeOn(this.#learner, frames, count);
    const verdict = compareWithTwin(adapted, await knowledgeWith(deployed, this.#learner, frames, count));
    if (verdict === 'collapsed' && guards.has('collapse')) {
      await this.#learner.reset();
      this.#good = deployed;
      return 'collapsed, back to deployed';
    }
    if (verdict === 'worse' && guards.has('no-harm')) {
      // The snapshot once; if that was no better either, the deployed model.
      await this.#learner.write(this.#good);
      await this.#learner.resetOptimizer();
      this.#good = deployed;
      return 'worse than the twin, rolled back';
    }
    if (verdict === 'fine') this.#good = await this.#learner.read();
    return null;
  }

  reset(): void {
    this.#rounds = 0;
    this.#good = this.#learner.deployed;
  }

  save(): Readonly<Record<string, Float32Array>> {
    const good = [...this.#good].map(([name, values]) => [`good ${name}`, values.slice()] as const);
    return { rounds: Float32Array.of(this.#rounds), ...Object.fromEntries(good) };
  }

  load(state: Readonly<Record<string, Float32Array>>): void {
    this.#rounds = state.rounds?.[0] ?? 0;
    this.#good = new Map(
      [...this.#learner.deployed].map(([name, values]) => [name, state[`good ${name}`]?.slice() ?? values] as const),
    );
  }
}
