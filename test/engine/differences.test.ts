/**
 * Whole graphs against nothing but their own loss: the gradients of the reference engine, in float64, are slopes of the
 * loss. This is what holds autodiff to account, since all engines run the same steps.
 */
import test from 'ava';
import * as fc from 'fast-check';
import { importGraph } from '../../models/onnx/import.ts';
import type { ReferenceEngine } from '../../runtime/engine/reference/reference-engine.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { gradientBuffer, type Plan } from '../../runtime/plan/plan.ts';
import { countBlocks } from '../../runtime/scheme/scheme.ts';
import { Random } from '../../runtime/train/random.ts';
import { cyclicLabels, normals } from '../support/draws.ts';
import { GraphBuilder, relu } from '../support/graphs.ts';
import { buildNet, netSpec } from '../support/random-nets.ts';
import { referenceForward } from '../support/reference-forward.ts';
import { plan as makePlan, openReference, trainedNames } from '../support/training.ts';

/** Length of a step along one tensor's random direction; pre-activations move by a small multiple of it. */
const EPSILON = 1e-6;
const MARGIN = 1e-4;
/** Rounding of the loss over the step is about 1e-10. */
const tolerance = { rtol: 1e-5, atol: 1e-8 };

/** Compares the slope along one random direction for each trained tensor; what is wrong, or an empty text. */
async function faults(engine: ReferenceEngine, features: Float32Array, seed: number): Promise<string> {
  const { plan } = engine;
  const input = { count: plan.batch, features };
  const labels = cyclicLabels(plan.batch, plan.classes);
  await engine.gradients(input, labels);
  const gradients = new Map(trainedNames(plan).map((name) => [name, engine.exact(gradientBuffer(name)).slice()]));
  const random = new Random(seed, 99);
  const found: string[] = [];
  for (const [name, gradient] of gradients) {
    const direction = normals(random, [gradient.length]);
    const length = Math.hypot(...direction);
    const values = engine.exact(name);
    const start = values.slice();
    const lossAt = async (step: number): Promise<number> => {
      start.forEach((value, i) => {
        values[i] = value + (step * (direction[i] ?? 0)) / length;
      });
      return (await engine.gradients(input, labels)).loss;
    };
    const slope = ((await lossAt(EPSILON)) - (await lossAt(-EPSILON))) / (2 * EPSILON);
    values.set(start);
    const expected = gradient.reduce((sum, g, i) => sum + (g * (direction[i] ?? 0)) / length, 0);
    const error = Math.abs(slope - expected);
    if (!(error <= tolerance.atol + tolerance.rtol * Math.abs(slope)))
      found.push(`"${name}": ${expected}, slope ${slope}`);
  }
  return found.join('; ');
}

/** Everything trains; the cut is the image. */
function planAll(graph: Graph): Plan {
  return makePlan(graph, { scheme: 'mobiletl', blocks: countBlocks(graph), batch: 2, labelSmoothing: 0.1 });
}

test('random networks: gradients are slopes of the loss', async (t) => {
  await fc.assert(
    fc.asyncProperty(netSpec, async (net) => {
      const { graph } = importGraph(buildNet(net), undefined);
      const features = Float32Array.from(normals(new Random(net.seed), [2, net.size, net.size, 3]));
      fc.pre(referenceForward(graph, features, 2).kinkMargin >= MARGIN);
      const plan = planAll(graph);
      fc.pre(plan.values.cut === graph.input);
      const found = await faults(openReference(plan, graph), features, net.seed);
      if (found !== '') throw new Error(found);
    }),
    { numRuns: 25 },
  );
  t.pass();
});

test('a tensor read four times, twice by one node: gradients are slopes of the loss', async (t) => {
  const seed = 8;
  const b = new GraphBuilder([4, 4, 3], seed);
  const x = b.norm('norm', b.conv('conv', 'image', 6, { kernel: 3 }), relu);
  const doubled = b.add('doubled', x, x);
  const branch = b.norm('branch_norm', b.conv('branch', x, 6), relu);
  b.head(b.add('sum', b.add('skip', branch, x), b.clip('clipped', doubled)), 3);
  const graph = b.build();
  const features = Float32Array.from(normals(new Random(seed), [2, 4, 4, 3]));
  t.true(referenceForward(graph, features, 2).kinkMargin >= MARGIN, `seed ${seed}`);
  t.is(await faults(openReference(planAll(graph), graph), features, seed), '', `seed ${seed}`);
});
