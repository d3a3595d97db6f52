import test, { type ExecutionContext } from 'ava';
import type { Kernel, KernelSample } from '../../kernels/kernel.ts';
import { elements, type Graph } from '../../runtime/graph/graph.ts';
import { buildPlan, type Decisions } from '../../runtime/plan/build.ts';
import { gradientBuffer, type Plan } from '../../runtime/plan/plan.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertClose, type Tolerance } from '../support/compare.ts';
import { cyclicLabels, normals } from '../support/draws.ts';
import { GraphBuilder } from '../support/graphs.ts';
import { allKernels } from '../support/kernel-cases.ts';
import { openCpu, openReference } from '../support/training.ts';

const seed = 3;
const batch = 4;
const tolerance: Tolerance = { rtol: 1e-4, atol: 1e-6 };

/** The node between shifts on its inputs, whose gradients are sums of its input gradients, and a fully connected head. */
function around(kernel: Kernel, sample: KernelSample): Graph {
  const [shape = []] = sample.inputs;
  const b = new GraphBuilder(shape, seed);
  if (kernel.op === 'SoftmaxCrossEntropy') {
    b.head('image', elements(shape));
    return b.build();
  }
  const inputs = sample.inputs.map((_, index) => b.shift(`below${index}`, 'image'));
  const y = b.node(kernel.op, 'node', inputs, sample.parameters, sample.attributes);
  const map = b.shape(y).length === 3;
  b.head(map && elements(b.shape(y).slice(0, 2)) === 1 ? b.node('Flatten', 'flat', [y]) : y, 5);
  return b.build();
}

/** A plan in which exactly the named parameters train, whatever a scheme would choose. */
function planFor(graph: Graph, trains: readonly string[], labelSmoothing: number, microBatch: number): Plan {
  const decisions: Decisions = {
    model: { name: graph.name, sha256: '', imageSize: 1, fileBytes: 0 },
    baseBytes: 120 * 2 ** 20,
    device: 'test',
    budgetBytes: 1e9,
    scheme: { name: 'head', blocks: 0, train: trains },
    savings: { activations: 'float', tensors: 'float', recompute: false },
    optimizer: 'sgd',
    labelSmoothing,
    batch,
    microBatch,
    threads: 1,
    rates: null,
  };
  return buildPlan(graph, decisions);
}

const planned = test.macro(async (t: ExecutionContext, kernel: Kernel, sample: KernelSample) => {
  const graph = around(kernel, sample);
  const trainable = graph.nodes.flatMap(({ op, parameters }) =>
    Object.entries(parameters).flatMap(([role, name]) => {
      const table = allKernels.find(([key]) => key === op);
      return table?.[1].trainable.includes(role) ? [name] : [];
    }),
  );
  const labelSmoothing = Number(sample.attributes.labelSmoothing ?? 0);
  const features = Float32Array.from(normals(new Random(seed), [batch, ...(sample.inputs[0] ?? [])], 1, 2));
  const labels = cyclicLabels(batch, 5);
  // Statistics of a batch are not those of its parts.
  for (const microBatch of kernel.op === 'BatchNorm' ? [batch] : [batch, 3]) {
    const plan = planFor(graph, trainable, labelSmoothing, microBatch);
    t.is(plan.values.cut, graph.input);
    const cpu = await openCpu(plan, graph);
    const reference = openReference(plan, graph);
    const about = `seed ${seed}, micro-batch ${microBatch}`;
    const [actual, expected] = [
      await cpu.gradients({ count: batch, features }, labels),
      await reference.gradients({ count: batch, features }, labels),
    ];
    assertClose(t, [actual.loss], [expected.loss], tolerance, `loss, ${about}`);
    const logits = await reference.forward({ count: batch, features });
    assertClose(t, await cpu.forward({ count: batch, features }), logits, tolerance, `logits, ${about}`);
    for (const name of trainable) {
      const gradient = await cpu.read(gradientBuffer(name));
      assertClose(t, gradient, reference.exact(gradientBuffer(name)), tolerance, `d "${name}", ${about}`);
    }
    await cpu[Symbol.asyncDispose]();
  }
});

for (const [op, kernel] of allKernels) {
  for (const sample of kernel.samples) {
    test(`a graph around ${op} ${sample.title}, planned and run: CPU equals reference`, planned, kernel, sample);
  }
}
