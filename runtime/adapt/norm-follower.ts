/**
 * @file Norms that follow the frames' world. A look at frames (norm-look.ts) gives their statistics m and how far these have drifted,
 * D; the statistics in use move towards m by
 *   w = max(1 - e^(-gain D), k / (n + k), least k / memory),
 * k the frames of the look and n those that the statistics in use are worth: a sudden change is followed at once, and from then on
 * they are the running average of the new world, down to `least`. Being averages of independent frames, with weights w and 1 - w,
 *   n <- 1 / ((1 - w)^2 / n + w^2 / k),
 * and the deployed statistics are worth any number.
 *
 * Numbers: `memory` frames of a look, less while there are not so many; `pass` frames a pass at most; `gain`, `least`; `still`: D below
 * which nothing has moved; `settle` looks that follow after the last drift; `skew`, `skewMost`: D of the last norm from which frames
 * count as of few classes (norm-look.ts).
 */

import { doubts, isOfFewClasses, knowledgeOn, knowledgeWith } from './guards/knowledge.ts';
import type { GuardName } from './guards/names.ts';
import type { Learner, Values } from './learner.ts';
import { movedTowards, movingNorms, type NormNames } from './norm-drift.ts';
import { type Look, lookAt, ofDeployedWorld, ofFewClasses, type SkewLimits } from './norm-look.ts';
import { inPasses } from './passes.ts';

export interface FollowerNumbers extends SkewLimits {
  readonly memory: number;
  readonly pass: number;
  readonly gain: number;
  readonly least: number;
  readonly still: number;
  readonly settle: number;
}

/** Frames of a look. */
export interface LookedAt {
  readonly images: Uint8Array;
  readonly count: number;
  /** They are of all classes, as far as predictions tell. */
  readonly balanced: boolean;
}

/** What a look comes to. */
export type Found = 'no drift' | 'drift' | 'after drift' | 'label shift' | 'label shift, back to deployed';

export interface Followed {
  readonly found: Found;
  /** Of the frames as their own passes normalize them, `[count, classes]`. */
  readonly logits: Float32Array;
}

export class NormFollower {
  readonly #learner: Learner;
  readonly #numbers: FollowerNumbers;
  readonly #guards: ReadonlySet<GuardName>;
  readonly #norms: readonly NormNames[];
  readonly #statistics: readonly string[];
  #worth = Number.POSITIVE_INFINITY;
  /** Looks that may still follow without drift. */
  #settling = 0;

  constructor(learner: Learner, numbers: FollowerNumbers, guards: ReadonlySet<GuardName>) {
    this.#learner = learner;
    this.#numbers = numbers;
    this.#guards = guards;
    this.#norms = movingNorms(learner.plan);
    this.#statistics = this.#norms.flatMap(({ mean, variance }) => [mean, variance]);
  }

  /** Looks, and follows where there is something to follow. */
  async follow(frames: LookedAt): Promise<Followed> {
    const inUse = await this.#learner.read(this.#statistics);
    const passes = inPasses(frames.images, frames.count, this.#numbers.pass);
    const look = await lookAt(this.#learner, this.#norms, passes, inUse);
    return { found: await this.#decide(look, frames, inUse), logits: look.logits };
  }

  /** Frames that the statistics in use are worth. A frame that was looked at twice counts twice. */
  get worth(): number {
    return this.#worth;
  }

  /** The statistics in use are others now, as good as the deployed ones. */
  trust(): void {
    this.#worth = Number.POSITIVE_INFINITY;
  }

  reset(): void {
    this.trust();
    this.#settling = 0;
  }

  save(): Float32Array {
    return Float32Array.of(this.#worth, this.#settling);
  }

  load([worth = Number.POSITIVE_INFINITY, settling = 0]: Float32Array): void {
    [this.#worth, this.#settling] = [worth, settling];
  }

  async #decide(look: Look, frames: LookedAt, inUse: Values): Promise<Found> {
    const { memory, settle } = this.#numbers;
    if (this.#guards.has('skew') && ofFewClasses(look, this.#numbers)) return this.#notFollowed(look);
    // What chance makes of a look at few frames is the more the fewer they are.
    const still = (this.#numbers.still * memory) / Math.min(memory, frames.count);
    const drifts = look.drift >= still || !this.#guards.has('drift');
    if (!drifts && this.#settling === 0) {
      await this.#learner.fuse();
      return 'no drift';
    }
    const weight = this.#weight(look, frames.count);
    const moved = movedTowards(inUse, look.found, weight);
    if (drifts && !frames.balanced && (await this.#wouldDoubt(look, moved, frames))) return this.#notFollowed(look);
    await this.#learner.write(moved);
    // In single precision, as it is saved.
    this.#worth = Math.fround(1 / ((1 - weight) ** 2 / this.#worth + weight ** 2 / frames.count));
    this.#settling = drifts ? settle : this.#settling - 1;
    return drifts ? 'drift' : 'after drift';
  }

  #weight({ drift }: Look, count: number): number {
    const { gain, least, memory } = this.#numbers;
    const asFewer = Math.min(1, count / memory);
    return Math.max(1 - Math.exp(-gain * drift), count / (this.#worth + count), least * asFewer);
  }

  /** Nothing can be learnt from frames of few classes but whether they are of the deployed world. */
  async #notFollowed(look: Look): Promise<Found> {
    if (!ofDeployedWorld(look)) return 'label shift';
    await this.#learner.reset();
    this.trust();
    return 'label shift, back to deployed';
  }

  /** Whether frames of few predicted classes would be doubtful with these statistics, when the model of the nearer world is not. */
  async #wouldDoubt(look: Look, moved: Values, { images, count }: LookedAt): Promise<boolean> {
    if (!this.#guards.has('skew')) return false;
    const { deployed, classes } = this.#learner;
    const before = ofDeployedWorld(look)
      ? await knowledgeWith(deployed, this.#learner, images, count)
      : await knowledgeOn(this.#learner, images, count);
    if (!isOfFewClasses(before, Math.min(classes, count))) return false;
    const after = await knowledgeWith(moved, this.#learner, images, count);
    return doubts(before, after);
  }
}
