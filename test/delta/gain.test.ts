/**
 * A delta that was learnt on one version of a base and carried to the next keeps most of what it gained, without training; deltas of
 * two boards become one that serves both. Small networks on gratings; figures on a real network: runtime/delta/README.md.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { openModel } from '../../models/onnx/open-model.ts';
import { encodeModel } from '../../models/onnx/proto.ts';
import { readDelta, sourcesOf, writeDelta } from '../../runtime/delta/delta.ts';
import { learnMerge } from '../../runtime/delta/learn-merge.ts';
import { type Coefficients, mergedDelta, openMerge } from '../../runtime/delta/merge.ts';
import { transferDelta } from '../../runtime/delta/transfer.ts';
import { evaluate } from '../../runtime/train/evaluate-model.ts';
import type { TrainOptions } from '../../runtime/train/options.ts';
import { train } from '../../runtime/train/train.ts';
import { stack } from '../support/deltas.ts';
import { type Domain, gratings } from '../support/gratings.ts';

const seed = 6;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-gain-'));
const images = async (name: string, domain: Domain, perClass: number, from: number): Promise<string> => {
  await mkdir(join(root, name));
  return gratings(join(root, name), { domain, perClass, seed: from });
};
const [clean, further] = [await images('clean', 'plain', 40, 1), await images('further', 'plain', 40, 2)];
const dim = { train: await images('dim', 'dim', 40, 3), test: await images('dim-test', 'dim', 40, 4) };
const bright = { train: await images('bright', 'bright', 40, 5), test: await images('bright-test', 'bright', 40, 6) };
test.after.always(() => rm(root, { recursive: true, force: true }));

let runs = 0;
const learn = async (model: string, data: string, options: Partial<TrainOptions>) => {
  const run = join(root, `run-${runs++}`);
  return train({
    ...{
      model,
      data,
      run,
      seed,
      validation: 0.1,
      batch: 16,
      augment: 'none',
      device: 'jetson-nano-4gb',
      budgetBytes: 2 ** 30,
    },
    ...options,
  });
};
const whole = (rate: number, epochs: number): Partial<TrainOptions> => ({
  ...{ scheme: 'full', norms: 'batch', epochs, learningRate: { head: rate, weights: rate, norms: rate } },
});
const accuracy = async (model: string, delta: string | null, data: string): Promise<number> =>
  (await evaluate({ model, delta, data, threads: 1 })).accuracy;

test('a carried delta keeps its gain, and two merged ones serve both', async (t) => {
  const initial = join(root, 'initial.onnx');
  await writeFile(initial, encodeModel(stack({ layers: [8, 12, 12], classes: 4, seed })));
  const a = (await learn(initial, clean, whole(0.01, 6))).export ?? '';
  const b = (await learn(a, further, whole(0.003, 2))).export ?? '';
  const some = { scheme: 'mobiletl', blocks: 3, norms: 'batch', epochs: 4 } as const;
  const deltas = {
    dim: (await learn(a, dim.train, { ...some, exportModel: false })).delta ?? '',
    bright: (await learn(a, bright.train, { ...some, exportModel: false })).delta ?? '',
  };

  const { delta, left } = transferDelta(await readDelta(deltas.dim), await openModel(a), await openModel(b));
  t.deepEqual(left, []);
  const carried = join(root, 'carried.safetensors');
  await writeDelta(carried, delta, sourcesOf(delta));
  const gain = (await accuracy(a, deltas.dim, dim.test)) - (await accuracy(a, null, dim.test));
  const kept = (await accuracy(b, carried, dim.test)) - (await accuracy(b, null, dim.test));
  t.log(`gain ${gain.toFixed(3)} on the base, ${kept.toFixed(3)} on its next version, seed ${seed}`);
  t.true(gain >= 0.15, `there is something to keep: ${gain}, seed ${seed}`);
  t.true(kept >= 0.8 * gain, `${kept} of ${gain}, seed ${seed}`);

  const boards = await Promise.all(
    Object.values(deltas).map(async (path) => ({ name: path, delta: await readDelta(path) })),
  );
  const tensors = openMerge((await openModel(a)).graph, boards);
  const both = await images('both', 'dim', 4, 7);
  await gratings(both, { domain: 'bright', perClass: 4, seed: 8 });
  const learnt = await learnMerge(a, boards, tensors, { data: both, threads: 1 });
  const score = async (name: string, coefficients: Coefficients): Promise<number> => {
    const path = join(root, `${name}.safetensors`);
    const merged = mergedDelta(boards, tensors, coefficients, name);
    await writeDelta(path, merged, sourcesOf(merged));
    return ((await accuracy(a, path, dim.test)) + (await accuracy(a, path, bright.test))) / 2;
  };
  const scores = {
    base: await score('base', () => [0, 0]),
    average: await score('average', () => [0.5, 0.5]),
    learnt: await score('learnt', learnt.coefficients),
  };
  t.log(`mean accuracy of both domains ${JSON.stringify(scores)}, seed ${seed}`);
  t.true(learnt.after.loss <= learnt.before.loss);
  t.true(scores.average > scores.base && scores.learnt > scores.average, `seed ${seed}`);
});
