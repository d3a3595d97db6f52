/** @file `edgeshift delta merge`: deltas of several boards as one. */
import { openModel } from '../../../models/onnx/open-model.ts';
import { readDelta, requireBase, sourcesOf, writeDelta } from '../../../runtime/delta/delta.ts';
import type { Score } from '../../../runtime/delta/labelled-loss.ts';
import { type Coefficients, learntBlocks, mergedDelta, openMerge } from '../../../runtime/delta/merge.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { fits } from '../../../runtime/train/data/decode.ts';
import { choiceFlag, countFlag, type Flags, given, listFlag, textFlag } from '../flags.ts';
import { textTable } from '../text-table.ts';

/** How the deltas are taken, and what it is worth on labelled images if there are any. */
interface Merge {
  readonly how: 'average' | 'arithmetic' | 'learnt';
  readonly coefficients: Coefficients;
  readonly before?: Score;
  readonly after?: Score;
}

export async function run(paths: readonly string[], flags: Flags): Promise<number> {
  const [base = '', out = ''] = [textFlag(flags, 'model'), textFlag(flags, 'out')];
  if (paths.length < 2) throw new UsageError('delta merge needs at least two deltas');
  const fixed = fixedCoefficients(paths.length, flags);
  const deltas = await Promise.all(paths.map(async (path) => ({ name: path, delta: await readDelta(path) })));
  const model = await openModel(base, given({ imageSize: deltas[0]?.delta.imageSize }));
  for (const { delta } of deltas) requireBase(delta, model.file);
  const tensors = openMerge(model.graph, deltas);
  const learnt = async (): Promise<Merge> => {
    const { learnMerge } = await import('../../../runtime/delta/learn-merge.ts');
    const options = {
      data: textFlag(flags, 'data') ?? '',
      threads: countFlag(flags, 'threads', 1) ?? 2,
      ...given({ limit: countFlag(flags, 'limit', 1), fit: choiceFlag(flags, 'fit', fits) }),
    };
    const onSweep = (done: number, sweeps: number, loss: number): void =>
      console.error(`sweep ${done} of ${sweeps}: loss ${loss.toFixed(4)}`);
    return { how: 'learnt', ...(await learnMerge(base, deltas, tensors, { ...options, onSweep })) };
  };
  const { how, coefficients, before, after } = fixed ?? (await learnt());
  const merged = mergedDelta(deltas, tensors, coefficients, how);
  await writeDelta(out, merged, sourcesOf(merged));
  const blocks = Object.fromEntries(learntBlocks(tensors).map((block) => [block, coefficients(block)]));
  if (flags.json === true) {
    console.log(JSON.stringify({ delta: out, how, tensors: merged.tensors.size, coefficients: blocks, before, after }));
    return 0;
  }
  console.log(`${out}: ${merged.tensors.size} tensors of ${paths.length} deltas, ${how}`);
  const rows = how === 'learnt' ? Object.entries(blocks) : [['every block', coefficients('')] as const];
  const numbers = rows.map(([block, values]) => [block, ...values.map((value) => value.toFixed(3))]);
  process.stdout.write(
    textTable(
      [['coefficients', ...paths], ...numbers],
      paths.map((_, i) => i + 1),
    ),
  );
  if (before && after) {
    console.log(
      `on the labelled images: loss ${before.loss.toFixed(4)} averaged, ${after.loss.toFixed(4)} learnt; ` +
        `accuracy ${before.accuracy.toFixed(4)}, ${after.accuracy.toFixed(4)}`,
    );
  }
  return 0;
}

/** Coefficients that do not depend on images; null if they are to be learnt. @throws UsageError */
function fixedCoefficients(count: number, flags: Flags): Merge | null {
  const given = ['weights', 'coefficients', 'data'].filter((key) => textFlag(flags, key) !== undefined);
  if (given.length > 1) throw new UsageError(`--${given.join(' and --')} exclude each other: choose one of them`);
  if (textFlag(flags, 'data') !== undefined) return null;
  const numbers = numbersFlag(flags, 'coefficients', count);
  if (numbers) return { how: 'arithmetic', coefficients: () => numbers };
  const weights = numbersFlag(flags, 'weights', count) ?? Array.from({ length: count }, () => 1);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!(total > 0) || weights.some((weight) => weight < 0)) {
    throw new UsageError(`--weights must be numbers from 0, not all of them 0: "${weights.join(',')}"`);
  }
  const shares = weights.map((weight) => weight / total);
  return { how: 'average', coefficients: () => shares };
}

function numbersFlag(flags: Flags, key: 'weights' | 'coefficients', count: number): readonly number[] | null {
  const words = listFlag(flags, key);
  if (!words) return null;
  const numbers = words.map(Number);
  if (numbers.length === count && numbers.every(Number.isFinite)) return numbers;
  throw new UsageError(`--${key} must be ${count} numbers, one for each delta: "${words.join(',')}"`);
}
