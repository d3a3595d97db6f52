/** @file A look at frames: the norms' statistics on them, and what these say of the world they come from. */
import type { Learner, Values } from './learner.ts';
import { drifts, type NormNames, pooled } from './norm-drift.ts';
import type { FramePass } from './passes.ts';

export interface Look {
  /** Of the frames, as their own passes normalize them. */
  readonly logits: Float32Array;
  /** Statistics of the frames, each norm's inputs normalized by themselves below it. */
  readonly found: Values;
  /** D of each norm (norm-drift.ts), from those in use and from the deployed ones. */
  readonly fromUse: readonly number[];
  readonly fromDeployed: readonly number[];
  /**
   * How far the frames' world lies from the one in use, without what sampling so few frames makes of it: D averaged over the norms,
   * or half of the largest of a lower one, if that is more.
   */
  readonly drift: number;
}

/** Takes the statistics of the frames; those in use are in place again afterwards. The plan's momentum is 1. */
export async function lookAt(
  learner: Learner,
  norms: readonly NormNames[],
  passes: readonly FramePass[],
  inUse: Values,
): Promise<Look> {
  const ofPasses: Values[] = [];
  const count = passes.reduce((sum, pass) => sum + pass.count, 0);
  const logits = new Float32Array(count * learner.classes);
  for (const { images, count: n, from } of passes) {
    logits.set(await learner.forward(images, n), from * learner.classes);
    ofPasses.push(await learner.read([...inUse.keys()]));
  }
  await learner.write(inUse);
  const { found, errors } = pooled(norms, ofPasses);
  return {
    logits,
    found,
    fromUse: drifts(norms, found, inUse),
    fromDeployed: drifts(norms, found, learner.deployed),
    drift: driftOf(drifts(norms, found, inUse, errors)),
  };
}

/** D of the last norm from which frames count as of few classes: where the middle ones moved less, and however they moved. */
export interface SkewLimits {
  readonly skew: number;
  readonly skewMost: number;
}

/**
 * Whether frames are of few classes. A changed world moves the norms from the input on, and each less that stands on corrected
 * ones; few classes move the last ones most.
 */
export function ofFewClasses({ fromUse, fromDeployed }: Look, { skew, skewMost }: SkewLimits): boolean {
  return [fromUse, fromDeployed].every((d) => {
    const last = d.at(-1) ?? 0;
    const middle = mean(d.slice(Math.floor(d.length / 3), Math.ceil((2 * d.length) / 3)));
    return last > skewMost || (last > skew && last > SKEW_RATIO * middle);
  });
}

/** Whether the frames' world is rather the deployed one: the first norm's input is the same whatever has been adapted. */
export function ofDeployedWorld({ fromUse, fromDeployed }: Look): boolean {
  return (fromDeployed[0] ?? 0) < RETURN * (fromUse[0] ?? 0);
}

/**
 * Frames that are brighter than the world in use move the first norm and no other, which stand on corrected ones: an average would
 * hide it. The upper third is left to the average, since classes move it.
 */
function driftOf(d: readonly number[]): number {
  return Math.max(mean(d), Math.max(...d.slice(0, Math.ceil((2 * d.length) / 3))) / 2);
}

const SKEW_RATIO = 3;

/** How near the deployed statistics must lie to the frames, against those in use; a little nearer, so that sampling decides nothing. */
const RETURN = 0.9;

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value / values.length, 0);
