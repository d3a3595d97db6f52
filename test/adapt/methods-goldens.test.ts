/** Five steps of TENT, EATA, SAR and CoTTA are those of PyTorch (tools/goldens/adaptation.py). */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { z } from 'zod';
import { fisher } from '../../runtime/adapt/methods/eata.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import { parameterOf } from '../../runtime/graph/graph.ts';
import { goldenImages, recordError } from '../../tools/networks/golden.ts';
import { openMethod } from '../support/adapt-methods.ts';
import { assertRelativeL2 } from '../support/compare.ts';
import { goldenUrl } from '../support/goldens.ts';

const TOLERANCE = 1e-3;

const numbers = z.array(z.number());
const record = z.object({ name: z.string(), l2: z.number(), dots: numbers, values: numbers });
const schema = z.object({
  images: z.number(),
  imageSize: z.number(),
  batch: z.number(),
  numbers: z.record(z.string(), z.number()),
  seed: z.number(),
  /** How far float32 moves PyTorch's own changes. */
  f32: z.object({ worstRelativeL2: z.number() }),
  steps: z.array(z.object({ updated: z.boolean(), reason: z.string(), logits: z.array(numbers) })),
  /** Changes after the last step. */
  tensors: z.array(record),
  fisher: z.array(record),
});

for (const method of ['tent', 'eata', 'sar', 'cotta'] as const) {
  test(`${method}: predictions, decisions and changes are PyTorch's`, async (t) => {
    const golden = schema.parse(JSON.parse(await readFile(goldenUrl(`adaptation/${method}.json`), 'utf8')));
    const { batch, seed, steps } = golden;
    const images = goldenImages(golden);
    const bytes = batch * golden.imageSize ** 2 * 3;
    await using open = await openMethod({ method, batch, seed, numbers: golden.numbers });
    const { learner, running, planned } = open;
    const fileNames = new Map(
      learner.trained.map((name) => [parameterOf(planned.graph, name).origin.tensor ?? name, name]),
    );
    const inFile = (name: string, values: Float32Array): Float32Array =>
      toFileLayout(values, parameterOf(planned.graph, name).origin);
    let worst = 0;
    const compare = (records: typeof golden.tensors, valuesOf: (name: string) => Float32Array): void => {
      t.deepEqual(records.map(({ name }) => name).sort(), [...fileNames.keys()].sort());
      for (const [index, expected] of records.entries()) {
        const name = fileNames.get(expected.name) ?? '';
        const error = recordError(expected, index, inFile(name, valuesOf(name)));
        t.true(error <= TOLERANCE, `"${expected.name}": ${error}`);
        worst = Math.max(worst, error);
      }
    };

    if (golden.fisher.length > 0) {
      const clean = images.subarray(steps.length * bytes);
      const weights = await fisher(learner, clean, clean.length / (bytes / batch));
      running.load({ ...running.save(), ...weights });
      compare(golden.fisher, (name) => weights[`fisher ${name}`] ?? new Float32Array());
      const after = await learner.read();
      for (const [name, values] of learner.deployed) t.deepEqual(after.get(name), values, `"${name}" is as deployed`);
    }
    for (const [step, expected] of steps.entries()) {
      const frames = images.subarray(step * bytes, (step + 1) * bytes);
      const { logits, updated, reason } = await running.observe(frames, batch);
      assertRelativeL2(t, logits, expected.logits.flat(), TOLERANCE, `logits of step ${step}`);
      t.deepEqual({ updated, reason }, { updated: expected.updated, reason: expected.reason }, `step ${step}`);
    }
    const after = await learner.read(learner.trained);
    compare(golden.tensors, (name) => {
      const deployed = learner.deployed.get(name);
      return (after.get(name) ?? new Float32Array()).map((value, i) => value - (deployed?.[i] ?? 0));
    });
    t.log(
      `worst tensor ${worst.toExponential(1)}, PyTorch's own float32 ${golden.f32.worstRelativeL2.toExponential(1)}`,
    );
  });
}
