import test, { type ExecutionContext } from 'ava';
import { kernels } from '../../kernels/index.ts';
import { type Kernel, type KernelSample, workspaceBytes } from '../../kernels/kernel.ts';
import type { GeometryArguments } from '../../kernels/simd/structure-kernels.ts';
import { geometry, type WindowAttributes } from '../../kernels/window.ts';
import { drawCase, drawCotangent, type KernelCase, runBackward, runForward } from '../support/kernel-cases.ts';
import { closeTo, openArena, type Tolerance } from './simd-arena.ts';

const SEED = 4071;
/** float32 sums of up to a few thousand products of numbers around 1. */
const sums: Tolerance = { rtol: 1e-5, atol: 5e-5 };

interface Window {
  readonly size: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly strides?: readonly [number, number];
  readonly dilations?: readonly [number, number];
  readonly pads?: readonly [number, number, number, number];
}

const windows: readonly Window[] = [
  { size: [7, 7], kernel: [3, 3], pads: [1, 1, 1, 1] },
  { size: [5, 4], kernel: [3, 3], pads: [1, 1, 1, 1] },
  { size: [3, 2], kernel: [3, 3], pads: [1, 1, 1, 1] },
  { size: [1, 1], kernel: [3, 3], pads: [1, 1, 1, 1] },
  { size: [6, 9], kernel: [3, 3] },
  { size: [8, 9], kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  { size: [9, 8], kernel: [3, 3], strides: [2, 2], pads: [0, 0, 1, 1] },
  { size: [9, 16], kernel: [3, 3], strides: [1, 2], pads: [1, 0, 1, 1] },
  { size: [9, 7], kernel: [2, 2], strides: [2, 2] },
  { size: [9, 10], kernel: [3, 3], dilations: [2, 2], pads: [2, 2, 2, 2] },
  { size: [9, 10], kernel: [3, 2], strides: [2, 3], dilations: [2, 3], pads: [2, 1, 2, 1] },
  { size: [11, 12], kernel: [3, 3], strides: [3, 2], dilations: [2, 1], pads: [1, 2, 0, 1] },
  { size: [9, 8], kernel: [5, 5], pads: [2, 2, 2, 2] },
  { size: [5, 13], kernel: [1, 1] },
  { size: [3, 70], kernel: [3, 3], pads: [1, 1, 1, 1] },
  { size: [6, 40], kernel: [1, 4], strides: [1, 3], pads: [0, 2, 0, 1] },
];

function attributesOf({ kernel, strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0] }: Window): WindowAttributes {
  return { kernel, strides, dilations, pads };
}

function numbers({ node, shapes, batch }: KernelCase): GeometryArguments {
  const g = geometry(node.attributes as WindowAttributes, shapes.inputs[0] ?? [], shapes.output);
  const kernel = [g.kernelHeight, g.kernelWidth, g.strideH, g.strideW, g.dilationH, g.dilationW] as const;
  return [batch, g.height, g.width, g.channels, ...kernel, g.padTop, g.padLeft, g.outHeight, g.outWidth];
}

function draw(op: 'MaxPool' | 'AveragePool' | 'GroupedConv', sample: Omit<KernelSample, 'title'>): KernelCase {
  return drawCase(kernels[op] as Kernel, { title: '', ...sample }, SEED);
}

/** The float64 loops' results for a drawn case. */
function expectedOf(drawn: KernelCase, dy: Float64Array) {
  const { output, saved } = runForward(drawn, drawn.rule.saves(drawn.node, drawn.shapes, drawn.wants));
  const { dInputs, dParameters } = runBackward(drawn, dy, drawn.wants, 0.5);
  return { y: output, index: saved.index, dx: dInputs[0] ?? [], dw: dParameters.weight ?? [] };
}

/** An output that holds NaN before, so that a left-out element shows. */
const unwritten = (like: ArrayLike<number>): Float64Array => new Float64Array(like.length).fill(Number.NaN);

async function checkMaxPool(t: ExecutionContext, drawn: KernelCase, about: string): Promise<void> {
  const dy = drawCotangent(drawn, SEED);
  const expected = expectedOf(drawn, dy);
  const arena = await openArena();
  const { kernels: simd } = arena;
  const [x, dys] = [arena.put(drawn.inputs[0] ?? []), arena.put(dy)];
  const [y, dx] = [arena.put(unwritten(dy)), arena.put(unwritten(expected.dx))];
  const index = arena.putBytes(new Uint8Array(dy.length).fill(255));
  const geometry = numbers(drawn);
  arena.writesOnly(t, [y], () => simd.maxPoolForward(x.pointer, y.pointer, 0, ...geometry));
  closeTo(t, `y without index ${about}`, arena.floats(y), expected.y, { rtol: 0, atol: 0 });
  arena.floats(y).fill(Number.NaN);
  arena.writesOnly(t, [y, index], () => simd.maxPoolForward(x.pointer, y.pointer, index.pointer, ...geometry));
  closeTo(t, `y ${about}`, arena.floats(y), expected.y, { rtol: 0, atol: 0 });
  t.deepEqual([...arena.bytes(index)], [...(expected.index ?? [])], `index ${about}`);
  arena.writesOnly(t, [dx], () => simd.maxPoolBackward(dys.pointer, index.pointer, dx.pointer, ...geometry));
  closeTo(t, `dx ${about}`, arena.floats(dx), expected.dx);
}

async function checkAveragePool(t: ExecutionContext, drawn: KernelCase, about: string): Promise<void> {
  const dy = drawCotangent(drawn, SEED);
  const expected = expectedOf(drawn, dy);
  const arena = await openArena();
  const { kernels: simd } = arena;
  const [x, dys] = [arena.put(drawn.inputs[0] ?? []), arena.put(dy)];
  const [y, dx] = [arena.put(unwritten(dy)), arena.put(unwritten(expected.dx))];
  const { pads, countPads } = drawn.node.attributes as WindowAttributes & { countPads: boolean };
  const [top = 0, left = 0, bottom = 0, right = 0] = countPads ? pads : [];
  const rest = [...numbers(drawn), top, left, bottom, right] as const;
  arena.writesOnly(t, [y], () => simd.averagePoolForward(x.pointer, y.pointer, ...rest));
  closeTo(t, `y ${about}`, arena.floats(y), expected.y);
  arena.writesOnly(t, [dx], () => simd.averagePoolBackward(dys.pointer, dx.pointer, ...rest));
  closeTo(t, `dx ${about}`, arena.floats(dx), expected.dx);
}

async function checkGrouped(t: ExecutionContext, drawn: KernelCase, group: number, about: string): Promise<void> {
  const dy = drawCotangent(drawn, SEED);
  const expected = expectedOf(drawn, dy);
  const arena = await openArena();
  const { kernels: simd } = arena;
  const { weight = new Float64Array() } = drawn.parameters;
  const [x, w, dys] = [arena.put(drawn.inputs[0] ?? []), arena.put(weight), arena.put(dy)];
  const [y, dx] = [arena.put(unwritten(dy)), arena.put(unwritten(expected.dx))];
  const dw = arena.put(weight.map(() => 0.5));
  const workspace = (pass: 'forward' | 'backward') => {
    const wanted = drawn.kernel.workspace?.(drawn.shapes, drawn.node.attributes, pass, drawn.wants) ?? 0;
    const bytes = workspaceBytes(wanted, drawn.batch);
    return arena.put(new Float64Array(bytes / 4).fill(Number.NaN));
  };
  const [first, second] = [workspace('forward'), workspace('backward')];
  const rest = [...numbers(drawn), drawn.shapes.output[2] ?? 0, group] as const;
  arena.writesOnly(t, [y, first], () => simd.groupedForward(x.pointer, w.pointer, y.pointer, ...rest, first.pointer));
  closeTo(t, `y ${about}`, arena.floats(y), expected.y, sums);
  arena.writesOnly(t, [dx, second], () =>
    simd.groupedInputGradient(dys.pointer, w.pointer, dx.pointer, ...rest, second.pointer),
  );
  closeTo(t, `dx ${about}`, arena.floats(dx), expected.dx, sums);
  arena.writesOnly(t, [dw], () => simd.groupedWeightGradient(x.pointer, dys.pointer, dw.pointer, ...rest));
  closeTo(t, `dw ${about}`, arena.floats(dw), expected.dw, sums);
}

for (const window of windows) {
  const { size, kernel, strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0] } = window;
  const title = `x=[${size}] k=${kernel} stride=${strides} dilation=${dilations} pads=${pads}`;

  test(`pools ${title}: forward and backward, any number of channels`, async (t) => {
    for (const channels of [1, 3, 4, 23, 37]) {
      for (const ceil of [false, true]) {
        const attributes = { ...attributesOf(window), ceil };
        const sample = { inputs: [[...size, channels]], parameters: {} };
        const about = `C=${channels} ceil=${ceil} seed ${SEED}`;
        await checkMaxPool(t, draw('MaxPool', { ...sample, attributes }), about);
        for (const countPads of [false, true]) {
          const drawn = draw('AveragePool', { ...sample, attributes: { ...attributes, countPads } });
          await checkAveragePool(t, drawn, `${about} countPads=${countPads}`);
        }
      }
    }
  });

  test(`grouped ${title}: forward and both gradients, any width of a group`, async (t) => {
    for (const [group, ins, outs] of [
      [3, 4, 4],
      [9, 4, 4],
      [2, 8, 12],
      [2, 16, 5],
      [3, 5, 20],
      [2, 3, 2],
      [5, 1, 2],
      [4, 1, 4],
      [2, 13, 11],
    ] as const) {
      const drawn = draw('GroupedConv', {
        attributes: { ...attributesOf(window), group },
        inputs: [[...size, group * ins]],
        parameters: { weight: [group * outs, ...kernel, ins] },
      });
      await checkGrouped(t, drawn, group, `${group} groups of ${ins} to ${outs}, seed ${SEED}`);
    }
  });
}

test('the maximum is NaN where the window has one, and the first of equals otherwise', async (t) => {
  const arena = await openArena();
  // Two windows of one channel each: [1, 3, 3, 2] and [5, NaN, 7, 6]; six channels exercise lanes and the rest alike.
  const x = arena.put([1, 3, 5, Number.NaN, 3, 2, 7, 6].flatMap((value) => new Array<number>(6).fill(value)));
  const y = arena.put(new Float32Array(12));
  const index = arena.putBytes(new Uint8Array(12));
  const rest: GeometryArguments = [1, 2, 4, 6, 2, 2, 2, 2, 1, 1, 0, 0, 1, 2];
  arena.kernels.maxPoolForward(x.pointer, y.pointer, index.pointer, ...rest);
  const each = (a: number, b: number) => [a, b].flatMap((value) => new Array<number>(6).fill(value));
  t.deepEqual([...arena.floats(y)], each(3, Number.NaN));
  t.deepEqual([...arena.bytes(index)], each(1, 1));
});
