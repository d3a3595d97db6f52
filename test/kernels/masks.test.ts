import test from 'ava';
import { clip, derivativeBit, maskBytes } from '../../kernels/activation.ts';
import { kernelOf } from '../../kernels/index.ts';
import { elements, type Shape } from '../../runtime/graph/graph.ts';

const relu6 = { low: 0, high: 6 } as const;
const values = [-1, -0, 0, 1e-30, 3, 6, 7, Number.NaN];

test('the exact bit is 1 strictly between the limits', (t) => {
  const bits = values.map((a) => derivativeBit({ ...relu6, derivative: 'exact' }, a));
  t.deepEqual(bits, [0, 0, 0, 1, 1, 0, 0, 0]);
  t.deepEqual(
    [-1, 0, 1, 1e30].map((a) => derivativeBit({ low: 0, high: null, derivative: 'exact' }, a)),
    [0, 0, 1, 1],
  );
});

test('the sign bit is 1 from zero upwards, whatever the upper limit', (t) => {
  const bits = values.map((a) => derivativeBit({ ...relu6, derivative: 'sign' }, a));
  t.deepEqual(bits, [0, 1, 1, 1, 1, 1, 1, 0]);
});

test('clipping lets NaN through', (t) => {
  t.deepEqual(
    values.map((a) => clip({ ...relu6, derivative: 'exact' }, a)),
    [0, -0, 0, 1e-30, 3, 6, 6, Number.NaN],
  );
});

test('a mask costs numel/8 where 8 divides C, else whole bytes a row', (t) => {
  for (const shape of [[7, 7, 96], [1, 1, 8], [64], [112, 112, 16]] as Shape[]) {
    t.is(maskBytes(shape), elements(shape) / 8, `[${shape}]`);
  }
  t.is(maskBytes([3, 2, 9]), 12);
  t.is(maskBytes([5]), 1);
});

test('only activations keep a mask, and the kernels declare its bytes', (t) => {
  for (const op of ['Affine', 'Clip']) {
    const attributes = { ...relu6, derivative: 'exact', epsilon: 0 };
    const shape = [4, 4, 24];
    const node = { op, name: 'n', inputs: ['x'], parameters: {}, output: 'y', attributes };
    const rule = kernelOf(node)?.backward;
    if (!rule || 'none' in rule) return t.fail(`${op} has no rule`);
    const wants = { inputs: [true], parameters: new Set<string>() };
    const shapes = { inputs: [shape], output: shape, parameters: {} };
    t.deepEqual(rule.saves(node, shapes, wants), [
      { kind: 'own', name: 'mask', bytesPerImage: (4 * 4 * 24) / 8, elementsPerImage: 4 * 4 * 24 },
    ]);
    const plain = { ...node, attributes: { ...attributes, low: null, high: null } };
    if (op === 'Affine') t.deepEqual(rule.saves(plain, shapes, wants), []);
  }
});
