/**
 * Networks as PyTorch exports them, on small images: nothing is opaque, the logits are onnxruntime's, the prefix can be cut
 * anywhere, and what is learnt goes back to where it came from.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { exportModel } from '../../models/onnx/export.ts';
import type { ModelFile } from '../../models/onnx/model-file.ts';
import { extractPrefix } from '../../models/onnx/prefix.ts';
import { encodeModel } from '../../models/onnx/proto.ts';
import { applyDelta, type Delta } from '../../runtime/delta/delta.ts';
import { toFileLayout } from '../../runtime/graph/axes.ts';
import { borders } from '../../runtime/graph/borders.ts';
import type { Graph } from '../../runtime/graph/graph.ts';
import { Random } from '../../runtime/train/random.ts';
import { assertRelativeL2 } from '../support/compare.ts';
import { normals } from '../support/draws.ts';
import { network } from '../support/networks.ts';
import { runOnnxruntime } from '../support/onnx-models.ts';
import { referenceForward } from '../support/reference-forward.ts';

const seed = 12;
const TOLERANCE = 1e-4;
const folder = await mkdtemp(join(tmpdir(), 'edgeshift-networks-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

const imagesOf = (size: number): Float32Array => Float32Array.from(normals(new Random(seed), [1, size, size, 3]));

/** Every parameter the file holds, moved a little. */
function movedParameters(graph: Graph, file: ModelFile, imageSize: number): Delta {
  const random = new Random(seed + 1);
  const tensors = [...graph.parameters.values()].flatMap(({ origin, data }) => {
    if (origin.tensor === null) return [];
    const moved = data().map((value) => value * random.uniform(0.99, 1.01));
    return [[origin.tensor, { name: origin.tensor, shape: origin.shape, data: toFileLayout(moved, origin) }] as const];
  });
  return {
    ...{ base: file.sha256, imageSize, classes: [], drop: null, notes: {}, tensors: new Map(tensors) },
    preprocessing: { scale: [1, 1, 1], bias: [0, 0, 0] },
  };
}

async function assertReadAndWritten(t: ExecutionContext, name: string, size: number): Promise<void> {
  const { file, graph } = await network(name, size);
  t.deepEqual(
    graph.nodes.filter(({ op }) => op === 'Opaque').map((node) => node.name),
    [],
  );
  const images = imagesOf(size);
  const shape = [size, size, 3];
  const expected = await runOnnxruntime(encodeModel(file.proto), images, shape);
  assertRelativeL2(t, referenceForward(graph, images, 1).output, expected, TOLERANCE, `logits, seed ${seed}`);

  const all = borders(graph).filter(({ after, tensor }) => after >= 0 && !graph.synthetic.has(tensor));
  const cuts = [0.2, 0.6, 0.9].flatMap((part) => all[Math.floor(part * all.length)] ?? []);
  for (const { after, tensor } of cuts) {
    const features = await runOnnxruntime(extractPrefix(file, graph, tensor) ?? new Uint8Array(), images, shape);
    const rest = { ...graph, input: tensor, nodes: graph.nodes.slice(after + 1) };
    assertRelativeL2(
      t,
      referenceForward(rest, features, 1).output,
      expected,
      TOLERANCE,
      `cut "${tensor}", seed ${seed}`,
    );
  }

  const delta = movedParameters(graph, file, size);
  const learnt = referenceForward(applyDelta(graph, delta), images, 1).output;
  const path = join(folder, `${name}.onnx`);
  await exportModel(file, delta, path);
  const written = await runOnnxruntime(await readFile(path), images, shape);
  assertRelativeL2(t, written, learnt, TOLERANCE, `exported, seed ${seed}`);
}

for (const [name, size] of [
  ['mobilenet_v3_small-stepwise-kept-constants-opset9', 32],
  ['shufflenet_v2_x1_0-kept-opset15', 32],
  ['regnet_y_400mf-folded-opset15', 32],
  ['squeezenet1_1-opset18', 32],
  ['wrn_16_2-normalize-kept-opset13', 16],
  ['ppocr_classifier-kept-opset9', 48],
] as const) {
  test(`${name} at ${size} px`, assertReadAndWritten, name, size);
}
