/**
 * @file Activations that are more than a clipping: values and derivatives in float64.
 *
 * Each derivative is a function of the input x, or of the output y where that tells it too: an output is often kept for
 * the next layer anyway.
 */

export const activationFunctions = [
  'hardSwish',
  'hardSigmoid',
  'sigmoid',
  'silu',
  'gelu',
  'geluTanh',
  'tanh',
  'leakyRelu',
  'elu',
] as const;
export type ActivationFunction = (typeof activationFunctions)[number];

/** `alpha` and `beta` as in ONNX: slopes of HardSigmoid and LeakyRelu, scale of Elu; 0 where a function has none. */
export type FunctionParameters = { readonly alpha: number; readonly beta: number };

interface SmoothFunction {
  value(x: number, parameters: FunctionParameters): number;
  /** Which tensor the derivative follows from. */
  readonly from: 'input' | 'output';
  /** f'(x), or f' as a function of y, as `from` says. */
  derivative(kept: number, parameters: FunctionParameters): number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const smoothFunctions: Readonly<Record<ActivationFunction, SmoothFunction>> = {
  // x relu6(x + 3) / 6 (Howard et al. 2019; ONNX HardSwish-14).
  hardSwish: {
    value: (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
    from: 'input',
    derivative: (x) => (x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6),
  },
  // max(0, min(1, alpha x + beta)) (ONNX HardSigmoid-6).
  hardSigmoid: {
    value: (x, { alpha, beta }) => Math.max(0, Math.min(1, alpha * x + beta)),
    from: 'output',
    derivative: (y, { alpha }) => (y > 0 && y < 1 ? alpha : 0),
  },
  sigmoid: { value: sigmoid, from: 'output', derivative: (y) => y * (1 - y) },
  // x sigmoid(x) (Elfwing et al. 2018).
  silu: {
    value: (x) => x * sigmoid(x),
    from: 'input',
    derivative: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  },
  // x Phi(x) (Hendrycks and Gimpel 2016; ONNX Gelu-20, approximate none).
  gelu: {
    value: (x) => x * normalCdf(x),
    from: 'input',
    derivative: (x) => normalCdf(x) + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI),
  },
  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (ONNX Gelu-20, approximate tanh).
  geluTanh: {
    value: (x) => (x / 2) * (1 + Math.tanh(geluInner(x))),
    from: 'input',
    derivative(x) {
      const t = Math.tanh(geluInner(x));
      return (1 + t) / 2 + (x / 2) * (1 - t * t) * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
    },
  },
  tanh: { value: Math.tanh, from: 'output', derivative: (y) => 1 - y * y },
  // x, or alpha x below zero (ONNX LeakyRelu-16); at zero the slope is alpha, as in PyTorch.
  leakyRelu: {
    value: (x, { alpha }) => (x < 0 ? alpha * x : x),
    from: 'output',
    derivative: (y, { alpha }) => (y > 0 ? 1 : alpha),
  },
  // x, or alpha (e^x - 1) below zero (ONNX Elu-6).
  elu: {
    value: (x, { alpha }) => (x < 0 ? alpha * Math.expm1(x) : x),
    from: 'output',
    derivative: (y, { alpha }) => (y > 0 ? 1 : y + alpha),
  },
};

const geluInner = (x: number): number => Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);

/** Phi(x) to the precision of float64. */
function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const erf = z < 2.5 ? erfSeries(z) : 1 - erfcFraction(z);
  return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2;
}

/** erf by its Maclaurin series in the form without cancellation (Abramowitz and Stegun 7.1.6). */
function erfSeries(z: number): number {
  let term = z;
  let sum = z;
  for (let n = 1; Math.abs(term) > 1e-17 * sum && n < 200; n++) {
    term *= (2 * z * z) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}

/** erfc by its continued fraction (Abramowitz and Stegun 7.1.14), from the far end backwards. */
function erfcFraction(z: number): number {
  let fraction = z;
  for (let n = 120; n > 0; n--) fraction = z + n / 2 / fraction;
  return Math.exp(-z * z) / Math.sqrt(Math.PI) / fraction;
}
