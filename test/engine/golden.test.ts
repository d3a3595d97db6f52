/**
 * The whole network against PyTorch: gradients of every trained tensor of MobileNetV2, by autograd in float64.
 *
 * The golden file holds, for each tensor, its Euclidean norm L, 32 of its n elements, and its products with 4 random
 * vectors of signs. For an error vector e, a product with random signs has the mean square |e|^2, so the root mean square
 * of the 4 differences estimates |e| over all elements, sampled or not; it must be at most 1e-3 L. The norms must agree
 * to 1e-3 L, and each sampled element to 1e-3 of the larger of its own size and the tensor's root mean square L/sqrt(n).
 */
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { z } from 'zod';
import { CpuEngine } from '../../runtime/engine/cpu/cpu-engine.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import { parameterOf } from '../../runtime/graph/graph.ts';
import { HEAD } from '../../runtime/graph/head.ts';
import { gradientBuffer } from '../../runtime/plan/plan.ts';
import { assertClose } from '../support/compare.ts';
import { goldenStream } from '../support/draws.ts';
import { goldenUrl } from '../support/goldens.ts';
import { mobileNet, mobileNetFile } from '../support/mobilenet.ts';
import { engineModel, plan as makePlan, parametersOf, trainedNames } from '../support/training.ts';

const TOLERANCE = 1e-3;

const numbers = z.array(z.number());
const schema = z.object({
  model: z.object({ sha256: z.string() }),
  input: z.object({ images: z.number(), height: z.number(), seed: z.number() }),
  head: z.object({ shape: z.tuple([z.number(), z.number()]), seed: z.number() }),
  labels: numbers,
  labelSmoothing: z.number(),
  scheme: z.object({ name: z.literal('mobiletl'), blocks: z.number() }),
  loss: z.number(),
  logits: z.array(numbers),
  tensors: z.array(
    z.object({
      name: z.string(),
      shape: numbers,
      l2: z.number(),
      positions: numbers,
      values: numbers,
      signSeed: z.number(),
      dots: numbers,
    }),
  ),
});

const golden = schema.parse(JSON.parse(await readFile(goldenUrl('mobilenet-v2-gradients.json'), 'utf8')));
const hint = 'Hint: python3 tools/goldens/mobilenet_v2_gradients.py writes the goldens anew';

/** The golden's names for what a new head adds. */
const headNames: Readonly<Record<string, string>> = { 'head.weight': HEAD.weight, 'head.bias': HEAD.bias };

test('MobileNetV2: loss, logits and all gradients are those of PyTorch', async (t) => {
  const { input, head, labels, scheme, labelSmoothing } = golden;
  t.is((await mobileNetFile()).sha256, golden.model.sha256, hint);
  const graph = await mobileNet(input.height, head.shape[0]);
  const { images: count, height: size } = input;
  const plan = makePlan(graph, { ...scheme, scheme: scheme.name, labelSmoothing, batch: count, microBatch: count });
  t.is(plan.prefix.nodes, 0, 'everything trains, so everything runs on this engine');
  const draw = goldenStream(input.seed);
  const images = Uint8Array.from({ length: count * size * size * 3 }, () => draw() >>> 24);
  const drawHead = goldenStream(head.seed);
  const weight = Float32Array.from(
    { length: head.shape[0] * head.shape[1] },
    () => ((drawHead() >>> 8) / 2 ** 24 - 0.5) * 0.1,
  );
  const parameters = parametersOf(graph).set(HEAD.weight, weight);
  const engine = await CpuEngine.create(plan, { ...engineModel(plan, graph), parameters });

  const { loss } = await engine.gradients({ count, images }, Int32Array.from(labels));
  t.true(Math.abs(loss - golden.loss) <= TOLERANCE * golden.loss, `loss ${loss}, PyTorch ${golden.loss}`);
  const logits = await engine.forward({ count, images });
  assertClose(t, logits, golden.logits.flat(), { rtol: TOLERANCE, atol: 1e-4 }, `logits, seed ${input.seed}`);

  const names = golden.tensors.map(({ name }) => headNames[name] ?? name);
  t.deepEqual(trainedNames(plan).toSorted(), names.toSorted(), 'the same tensors train');
  let worst = { name: '', error: 0 };
  for (const tensor of golden.tensors) {
    const name = headNames[tensor.name] ?? tensor.name;
    const { origin } = parameterOf(graph, name);
    t.deepEqual([...origin.shape], tensor.shape, name);
    const gradient = toFileLayout(await engine.read(gradientBuffer(name)), origin);
    const { l2, positions, values, signSeed, dots } = tensor;
    const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
    t.true(Math.abs(norm - l2) <= TOLERANCE * l2, `"${name}": norm ${norm}, PyTorch ${l2}`);

    const rms = l2 / Math.sqrt(gradient.length);
    const sampled = positions.map((position) => gradient[position] ?? Number.NaN);
    const tolerance = { rtol: TOLERANCE, atol: TOLERANCE * rms };
    assertClose(t, sampled, values, tolerance, `"${name}" at its sampled positions`);

    const sign = goldenStream(signSeed);
    const found = dots.map(() => gradient.reduce((sum, value) => sum + (sign() >>> 31 ? -value : value), 0));
    const squares = found.reduce((sum, dot, v) => sum + (dot - (dots[v] ?? Number.NaN)) ** 2, 0);
    const error = Math.sqrt(squares / dots.length);
    if (error / l2 > worst.error) worst = { name, error: error / l2 };
    t.true(
      error <= TOLERANCE * l2,
      `"${name}": products ${found}, PyTorch ${dots}: error about ${error / l2} of its norm`,
    );
  }
  t.log(`worst of ${names.length} tensors: "${worst.name}", ${worst.error.toExponential(1)} of its norm`);
  await engine[Symbol.asyncDispose]();
});
