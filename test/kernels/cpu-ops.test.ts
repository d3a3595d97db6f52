import test, { type ExecutionContext } from 'ava';
import { kernels, type OpName } from '../../kernels/index.ts';
import { type Kernel, type KernelSample, type Wants, workspaceBytes } from '../../kernels/kernel.ts';
import { loadSimd } from '../../kernels/simd/simd.ts';
import { productModels } from '../../models/onnx/products.ts';
import { Arena } from '../../runtime/engine/cpu/arena.ts';
import { MatrixProducts } from '../../runtime/engine/cpu/matrix-products.ts';
import { bind } from '../../runtime/engine/cpu/operands.ts';
import { cpuOps } from '../../runtime/engine/cpu/ops.ts';
import type { Attributes } from '../../runtime/graph/graph.ts';
import { align } from '../../runtime/plan/layout.ts';
import {
  gradientBuffer,
  PAGE_BYTES,
  type Plan,
  type PlannedBuffer,
  type PlannedStep,
} from '../../runtime/plan/plan.ts';
import { assertClose, type Tolerance } from '../support/compare.ts';
import {
  allKernels,
  drawCase,
  drawCotangent,
  type KernelCase,
  runBackward,
  runForward,
} from '../support/kernel-cases.ts';

const seed = 7;
/** float32 against float64 on sums of up to a few hundred products of numbers around 1. */
const usual: Tolerance = { rtol: 1e-4, atol: 1e-6 };
/** Gradients of weights here are sums over thousands of pixels, and some of them cancel. */
const manyPixels: Tolerance = { rtol: 1e-4, atol: 1e-4 };
/** What gradients of parameters start from: they must be added to. */
const START = 0.5;

/**
 * The steps a plan would hold for this node, and buffers for all operands side by side, but with `inPlace` y takes the
 * memory of x and dx that of dy, where the kernel allows it.
 */
function stepsOf(drawn: KernelCase, inPlace: boolean) {
  const { kernel, rule, node, shapes, batch, wants, parameters, inputs } = drawn;
  const saves = rule.saves(node, shapes, wants);
  const keeps = (index: number): boolean => saves.some((save) => save.kind === 'input' && save.index === index);
  const own = saves.flatMap((save) => (save.kind === 'own' ? [save] : []));
  const bytes = new Map<string, number>(inputs.map(({ length }, i) => [`x${i}`, 4 * length]));
  for (const name of ['y', 'dy']) bytes.set(name, 4 * drawCotangent(drawn, seed).length);
  for (const { name, bytesPerImage } of own) bytes.set(name, batch * bytesPerImage);
  for (const [role, { length }] of Object.entries(parameters)) {
    bytes.set(role, 4 * length);
    if (wants.parameters.has(role)) bytes.set(gradientBuffer(role), 4 * length);
  }
  const dInputs = wants.inputs.map((wanted, i) => (wanted && !rule.passThrough?.includes(i) ? `dx${i}` : null));
  if (inPlace && rule.inPlace && dInputs[0]) dInputs[0] = 'dy';
  const keepsOutput = saves.some(({ kind }) => kind === 'output');
  const output = inPlace && kernel.inPlace && !keeps(0) ? 'x0' : 'y';
  for (const [i, name] of dInputs.entries()) if (name) bytes.set(name, 4 * (inputs[i]?.length ?? 0));
  const common = { op: kernel.op, node: node.name, attributes: node.attributes, shapes, parameters: node.parameters };
  const saved = Object.fromEntries(own.map(({ name }) => [name, name]));
  const savedElements = Object.fromEntries(own.map(({ name, elementsPerImage }) => [name, elementsPerImage]));
  const workspace = (pass: 'forward' | 'backward'): string | null => {
    const size = workspaceBytes(kernel.workspace?.(shapes, node.attributes, pass, wants) ?? 0, batch);
    if (size === 0) return null;
    bytes.set(`workspace ${pass}`, size);
    return `workspace ${pass}`;
  };
  const forward: PlannedStep = {
    ...common,
    pass: 'forward',
    inputs: node.inputs,
    output,
    saved,
    savedElements,
    dOutput: null,
    dInputs: [],
    dParameters: {},
    workspace: workspace('forward'),
  };
  const backward: PlannedStep = {
    ...common,
    pass: 'backward',
    inputs: node.inputs.map((name, index) => (keeps(index) ? name : null)),
    output: keepsOutput ? output : null,
    saved,
    savedElements,
    dOutput: 'dy',
    dInputs,
    dParameters: Object.fromEntries([...wants.parameters].map((role) => [role, role])),
    workspace: workspace('backward'),
  };
  let end = 64;
  const buffers = [...bytes].map(([name, size]): PlannedBuffer => {
    const offset = align(end);
    end = offset + size;
    return { name, offset, bytes: size, bytesPerImage: 0, category: 'workspace', alive: null, storage: name };
  });
  return { forward, backward, buffers, arenaBytes: Math.ceil(end / PAGE_BYTES) * PAGE_BYTES };
}

interface CpuCase {
  readonly kernel: Kernel;
  readonly sample: KernelSample;
  readonly changes?: Attributes;
  readonly tolerance: Tolerance;
}

const cpuCheck = test.macro(async (t: ExecutionContext, { kernel, sample, changes, tolerance }: CpuCase) => {
  const drawn = drawCase(kernel, sample, seed, changes);
  for (const wants of [drawn.wants, ...oneByOne(drawn.wants)]) {
    for (const inPlace of [false, true]) await equalsReference(t, { ...drawn, wants }, inPlace, tolerance);
  }
});

/** Each wanted gradient alone, where there are several. */
function oneByOne({ inputs, parameters }: Wants): Wants[] {
  const none = inputs.map(() => false);
  const alone = [
    ...inputs.flatMap((wanted, i): Wants[] => (wanted ? [{ inputs: none.with(i, true), parameters: new Set() }] : [])),
    ...[...parameters].map((role): Wants => ({ inputs: none, parameters: new Set([role]) })),
  ];
  return alone.length > 1 ? alone : [];
}

async function equalsReference(
  t: ExecutionContext,
  drawn: KernelCase,
  inPlace: boolean,
  tolerance: Tolerance,
): Promise<void> {
  const { kernel } = drawn;
  const { forward, backward, buffers, arenaBytes } = stepsOf(drawn, inPlace);
  const arena = new Arena({ buffers, arenaBytes } as Pick<Plan, 'buffers' | 'arenaBytes'> as Plan);
  const products = await MatrixProducts.create(arena.memory, productModels(), 1);
  const machine = { arena, simd: await loadSimd(arena.memory), products };
  // Whatever is not written by the op must not be read as if it had been.
  arena.floats(0, arenaBytes / 4).fill(Number.NaN);
  for (const [i, input] of drawn.inputs.entries()) arena.view(`x${i}`, 1).set(input);
  for (const [role, values] of Object.entries(drawn.parameters)) arena.view(role, 1).set(values);
  for (const role of drawn.wants.parameters) arena.view(gradientBuffer(role), 1).fill(START);
  const cotangent = drawCotangent(drawn, seed);
  arena.view('dy', 1).set(cotangent);

  const op = cpuOps[kernel.op as OpName];
  const { wants } = drawn;
  const about = `wanted inputs ${wants.inputs}, parameters ${[...wants.parameters]}, in place ${inPlace}, seed ${seed}`;
  await op.forward(bind(forward, drawn.batch, 'training', arena), machine);
  const saves = drawn.rule.saves(drawn.node, drawn.shapes, drawn.wants);
  const expected = runForward(drawn, saves);
  assertClose(t, arena.view(forward.output ?? '', 1), expected.output, tolerance, `y, ${about}`);
  const { mask, probabilities, index } = expected.saved;
  const bytesOf = (name: string): number[] => {
    const { offset, bytes } = arena.buffer(name);
    return [...new Uint8Array(arena.memory.buffer, offset, bytes)];
  };
  if (mask) t.deepEqual(bytesOf('mask'), packBits(mask, drawn.shapes.output.at(-1) ?? 1), `mask, ${about}`);
  if (index) t.deepEqual(bytesOf('index'), [...index], `index, ${about}`);
  if (probabilities)
    assertClose(t, arena.view('probabilities', 1), probabilities, tolerance, `probabilities, ${about}`);

  await op.backward(bind(backward, drawn.batch, 'training', arena), machine);
  const gradients = runBackward(drawn, cotangent, drawn.wants, START);
  for (const [i, dx] of gradients.dInputs.entries()) {
    const name = backward.dInputs[i];
    if (dx && name) assertClose(t, arena.view(name, 1), dx, tolerance, `d input ${i}, ${about}`);
  }
  for (const [role, gradient] of Object.entries(gradients.dParameters)) {
    assertClose(t, arena.view(gradientBuffer(role), 1), gradient, tolerance, `d ${role}, ${about}`);
  }
  await products.release();
}

/** Channel c of a row is bit c & 7 of its byte c >> 3; unused bits are zero. */
function packBits(mask: Float64Array, channels: number): number[] {
  const rowBytes = Math.ceil(channels / 8);
  const packed = new Array<number>((mask.length / channels) * rowBytes).fill(0);
  mask.forEach((bit, i) => {
    const channel = i % channels;
    const at = Math.floor(i / channels) * rowBytes + (channel >> 3);
    packed[at] = (packed[at] ?? 0) | (bit << (channel & 7));
  });
  return packed;
}

for (const [op, kernel] of allKernels) {
  for (const sample of kernel.samples) {
    test(`${op} ${sample.title}: CPU equals reference`, cpuCheck, { kernel, sample, tolerance: usual });
    if ('derivative' in sample.attributes) {
      const changes = { derivative: 'sign' };
      test(`${op} ${sample.title}, sign bit: CPU equals reference`, cpuCheck, {
        kernel,
        sample,
        changes,
        tolerance: usual,
      });
    }
  }
}

const stride1 = { strides: [1, 1], dilations: [1, 1] };
for (const sample of [
  {
    title: 'x=[41,40,16] w=[8,3,3,16] pads=1: patches in two parts, one across images',
    attributes: { kernel: [3, 3], pads: [1, 1, 1, 1], ...stride1 },
    inputs: [[41, 40, 16]],
    parameters: { weight: [8, 3, 3, 16] },
  },
  {
    title: 'x=[64,61,4] w=[40,1,1,4]: output of more than one chunk',
    attributes: { kernel: [1, 1], pads: [0, 0, 0, 0], ...stride1 },
    inputs: [[64, 61, 4]],
    parameters: { weight: [40, 1, 1, 4] },
  },
]) {
  test(`Conv ${sample.title}`, cpuCheck, { kernel: kernels.Conv as Kernel, sample, tolerance: manyPixels });
}
