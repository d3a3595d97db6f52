/**
 * @file Coefficients of a merge, learnt from a loss that can be asked for and nothing else: no gradients, no random numbers.
 *
 * One coefficient at a time moves to where a parabola through three losses is lowest. First each delta has one coefficient for the
 * whole network, then one a block.
 */

/** What is asked for a loss: the coefficient of each delta (column) in each block (row). */
export type CoefficientTable = readonly (readonly number[])[];

export interface LearnOptions {
  readonly blocks: number;
  readonly deltas: number;
  /** Loss of the merged network; lower is better. NaN counts as infinitely bad. */
  loss(table: CoefficientTable): Promise<number>;
  /** Passes over the coefficients of whole deltas, and over those of blocks. Default 3 and 2. */
  readonly sweeps?: readonly [whole: number, blocks: number];
  /** Weight of the squared distance from 1 / deltas, so that few images do not carry a coefficient far away. */
  readonly pull?: number;
  readonly onSweep?: (done: number, sweeps: number, loss: number) => void;
}

export interface LearntCoefficients {
  readonly table: CoefficientTable;
  /** Without the pull: of the plain average, and of what was learnt. */
  readonly lossBefore: number;
  readonly lossAfter: number;
  /** How often the network was asked. */
  readonly evaluations: number;
}

/** Coefficients stay within these; 0 leaves a delta out, 1 takes it whole. */
const [LOWEST, HIGHEST] = [-0.5, 1.5];

/** First distance of the two losses beside a coefficient's present one; half as far with each sweep. */
const FIRST_STEP = 0.4;

/** Enough to keep a coefficient that the images say nothing of where it is. */
const PULL = 0.01;

const SWEEPS = [3, 2] as const;

/** Starts from the plain average, and never ends above its loss. */
export async function learnCoefficients(options: LearnOptions): Promise<LearntCoefficients> {
  const { blocks, deltas, sweeps = SWEEPS, pull = PULL } = options;
  const start = 1 / deltas;
  let evaluations = 0;
  const ask = async (table: CoefficientTable): Promise<Asked> => {
    evaluations += 1;
    const loss = await options.loss(table);
    const distances = table.flat().map((value) => (value - start) ** 2);
    const mean = distances.reduce((sum, value) => sum + value, 0) / distances.length;
    return { table, loss, cost: Number.isNaN(loss) ? Number.POSITIVE_INFINITY : loss + pull * mean };
  };
  const before = await ask(Array.from({ length: blocks }, () => Array.from({ length: deltas }, () => start)));
  let best = before;
  const whole: Cell[] = Array.from({ length: deltas }, (_, delta) => ({ delta, block: null }));
  const single: Cell[] = Array.from({ length: blocks }, (_, block) =>
    whole.map(({ delta }) => ({ delta, block })),
  ).flat();
  const stages = [
    ...Array.from({ length: sweeps[0] }, (_, i) => [whole, i] as const),
    // With a single block there is nothing more to tell apart.
    ...Array.from({ length: blocks > 1 ? sweeps[1] : 0 }, (_, i) => [single, i] as const),
  ];
  for (const [done, [cells, sweep]] of stages.entries()) {
    for (const cell of cells) best = await improve(best, cell, FIRST_STEP / 2 ** sweep, ask);
    options.onSweep?.(done + 1, stages.length, best.loss);
  }
  return { table: best.table, lossBefore: before.loss, lossAfter: best.loss, evaluations };
}

interface Asked {
  readonly table: CoefficientTable;
  readonly loss: number;
  /** What is made small: the loss and the pull. */
  readonly cost: number;
}

/** One coefficient, or with `block` null those of a delta in all blocks, which move together. */
interface Cell {
  readonly delta: number;
  readonly block: number | null;
}

async function improve(
  best: Asked,
  cell: Cell,
  step: number,
  ask: (table: CoefficientTable) => Promise<Asked>,
): Promise<Asked> {
  const below = await ask(moved(best.table, cell, -step));
  const above = await ask(moved(best.table, cell, step));
  const bend = below.cost - 2 * best.cost + above.cost;
  const lowest = (step * (below.cost - above.cost)) / (2 * bend);
  const known = [best, below, above];
  // Where the three do not lie on a bowl, or its bottom is far outside, the best of them will do.
  if (bend > 0 && Math.abs(lowest) <= 2 * step) known.push(await ask(moved(best.table, cell, lowest)));
  return known.reduce((one, other) => (other.cost < one.cost ? other : one));
}

const moved = (table: CoefficientTable, { delta, block }: Cell, by: number): CoefficientTable =>
  table.map((row, b) =>
    block !== null && b !== block
      ? row
      : row.map((value, d) => (d === delta ? Math.min(HIGHEST, Math.max(LOWEST, value + by)) : value)),
  );
