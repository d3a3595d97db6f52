/** Batch Renormalization: the stored statistics forwards, the gradient of the batch's own backwards. */
import test from 'ava';
import { type BatchNormAttributes, batchMoments, batchNorm } from '../../kernels/batch-norm.ts';
import type { Kernel } from '../../kernels/kernel.ts';
import { assertClose, centredDifferences } from '../support/compare.ts';
import { drawCase, drawCotangent, type KernelCase, runBackward, runForward } from '../support/kernel-cases.ts';

const seed = 20261121;
const tolerance = { rtol: 1e-6, atol: 1e-6 };

/** y = scale (xb r + d) + shift with the constants r, d of the case as it was drawn (Ioffe 2017, algorithm 1). */
function renormalized({ inputs: [x = new Float64Array()], parameters, node, shapes }: KernelCase) {
  const { epsilon } = node.attributes as BatchNormAttributes;
  const C = shapes.output.at(-1) ?? 1;
  const deviation = (variance: number | undefined): number => Math.sqrt((variance ?? Number.NaN) + epsilon);
  const first = batchMoments(x, C);
  const at = (values: Float64Array | undefined, c: number): number => values?.[c] ?? Number.NaN;
  const r = first.variance.map((v, c) => deviation(v) / deviation(parameters.variance?.[c]));
  const d = first.mean.map((m, c) => (m - at(parameters.mean, c)) / deviation(parameters.variance?.[c]));
  return (): Float64Array => {
    const { mean, variance } = batchMoments(x, C);
    return x.map((value, i) => {
      const c = i % C;
      const own = (value - at(mean, c)) / deviation(variance[c]);
      return at(parameters.scale, c) * (own * at(r, c) + at(d, c)) + at(parameters.shift, c);
    });
  };
}

test('gradients are those of the renormalized batch with r and d held', (t) => {
  const [sample] = batchNorm.samples;
  if (!sample) return t.fail('BatchNorm has no sample');
  const drawn = drawCase(batchNorm as unknown as Kernel, sample, seed, { statistics: 'renorm' });
  const forward = renormalized(drawn);
  assertClose(t, runForward(drawn, []).output, forward(), tolerance, `y, seed ${seed}`);
  const cotangent = drawCotangent(drawn, seed);
  const { dInputs, dParameters } = runBackward(drawn, cotangent, drawn.wants);
  const compared: readonly [string, Float64Array | null | undefined, Float64Array | undefined][] = [
    ['dx', dInputs[0], drawn.inputs[0]],
    ['dscale', dParameters.scale, drawn.parameters.scale],
    ['dshift', dParameters.shift, drawn.parameters.shift],
  ];
  for (const [name, actual, values] of compared) {
    if (!actual || !values) return t.fail(`no ${name}`);
    assertClose(t, actual, centredDifferences(forward, cotangent, values), tolerance, `${name}, seed ${seed}`);
  }
});
