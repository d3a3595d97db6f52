import test, { type ExecutionContext } from 'ava';
import type { Kernel, KernelSample, Wants } from '../../kernels/kernel.ts';
import { assertClose, centredDifferences } from '../support/compare.ts';
import {
  allKernels,
  drawCase,
  drawCotangent,
  type KernelCase,
  runBackward,
  runForward,
} from '../support/kernel-cases.ts';

const seed = 20261121;
/** Rounding of float64 over the step: about 1e-16 / 1e-5 times the loss, plus the third derivative times 1e-10. */
const tolerance = { rtol: 1e-6, atol: 1e-6 };

/** Differences of <cotangent, y> by every element of `values`, which `runForward` sees through the case. */
const differences = (drawn: KernelCase, cotangent: Float64Array, values: Float64Array): Float64Array =>
  centredDifferences(() => runForward(drawn, []).output, cotangent, values);

const gradientCheck = test.macro((t: ExecutionContext, kernel: Kernel, sample: KernelSample) => {
  const drawn = drawCase(kernel, sample, seed);
  const cotangent = drawCotangent(drawn, seed);
  const { dInputs, dParameters } = runBackward(drawn, cotangent, drawn.wants);
  for (const [index, dx] of dInputs.entries()) {
    const input = drawn.inputs[index];
    if (!dx || !input) continue;
    assertClose(t, dx, differences(drawn, cotangent, input), tolerance, `d input ${index}, seed ${seed}`);
  }
  for (const [role, gradient] of Object.entries(dParameters)) {
    const values = drawn.parameters[role];
    if (!values) continue;
    assertClose(t, gradient, differences(drawn, cotangent, values), tolerance, `d ${role}, seed ${seed}`);
  }
});

const wantsCheck = test.macro((t: ExecutionContext, kernel: Kernel, sample: KernelSample) => {
  const drawn = drawCase(kernel, sample, seed);
  const cotangent = drawCotangent(drawn, seed);
  const full = runBackward(drawn, cotangent, drawn.wants);
  const none: Wants = { inputs: drawn.wants.inputs.map(() => false), parameters: new Set() };
  const subsets: Wants[] = [
    { ...none, inputs: drawn.wants.inputs },
    ...[...drawn.wants.parameters].map((role) => ({ ...none, parameters: new Set([role]) })),
  ];
  for (const wants of subsets) {
    const what = `wanted inputs ${wants.inputs}, parameters ${[...wants.parameters]}, seed ${seed}`;
    const part = runBackward(drawn, cotangent, wants, 2);
    t.deepEqual(
      part.dInputs,
      wants.inputs.map((wanted, i) => (wanted ? (full.dInputs[i] ?? null) : null)),
      what,
    );
    t.deepEqual(Object.keys(part.dParameters), [...wants.parameters], what);
    for (const [role, gradient] of Object.entries(part.dParameters)) {
      const added = gradient.map((value) => value - 2);
      assertClose(t, added, full.dParameters[role] ?? [], { rtol: 1e-12, atol: 1e-12 }, `${role} added to, ${what}`);
    }
  }
});

for (const [op, kernel] of allKernels) {
  for (const sample of kernel.samples) {
    test(`${op} ${sample.title}: backward equals centred differences`, gradientCheck, kernel, sample);
    test(
      `${op} ${sample.title}: what is not wanted needs nothing kept and changes nothing`,
      wantsCheck,
      kernel,
      sample,
    );
  }
}
