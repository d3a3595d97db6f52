/**
 * @file Activation: y = f(x), for the functions of smooth-functions.ts   (ONNX HardSwish-14, Sigmoid-13, Gelu-20 ...)
 *
 * x, y of one shape [.., C]. dx = f'(x) dy, where f' follows exactly from the kept x (or y), or is read from a step
 * function's code (few-bit.ts). y is the same to the bit whatever is kept.
 * Saved: `float` x or y, 4 bytes an element; `1bit` to `4bit` the code, that many bits an element.
 */
import { elements } from '../runtime/graph/graph.ts';
import { codeBytes, codeOf, stepFunction } from './few-bit.ts';
import type { Kernel } from './kernel.ts';
import { type ActivationFunction, type FunctionParameters, smoothFunctions } from './smooth-functions.ts';

export const activationSaves = ['float', '4bit', '3bit', '2bit', '1bit'] as const;
export type ActivationSave = (typeof activationSaves)[number];

export type SmoothActivationAttributes = FunctionParameters & {
  readonly function: ActivationFunction;
  readonly save: ActivationSave;
};

/** Bits of a code; 0 where the float tensor is kept. */
export const bitsOf = (save: ActivationSave): number => (save === 'float' ? 0 : Number.parseInt(save, 10));

/** Operations an element, forward and exact backward; an exponential is fifteen. */
const costs: Readonly<Record<ActivationFunction, readonly [forward: number, backward: number]>> = {
  hardSwish: [5, 6],
  hardSigmoid: [4, 3],
  sigmoid: [17, 3],
  silu: [18, 22],
  gelu: [33, 52],
  geluTanh: [26, 36],
  tanh: [20, 3],
  leakyRelu: [2, 1],
  elu: [18, 3],
};

export const smoothActivation: Kernel<SmoothActivationAttributes> = {
  op: 'Activation',
  trainable: [],
  inPlace: true,
  shape: (_node, [x]) => x ?? [],
  flops: ({ output }, attributes) => costs[attributes.function][0] * elements(output),
  backwardFlops: ({ output }, { function: name, save }) => (save === 'float' ? costs[name][1] : 1) * elements(output),
  // Borders and levels of the step function.
  workspace: (_shapes, { save }) => (save === 'float' ? 0 : 2 * 4 * 2 ** bitsOf(save)),
  alternatives(attributes) {
    // A gate's output is kept for the product above it anyway, and is one value a channel; two slopes are one bit.
    if (attributes.function === 'leakyRelu') return ['1bit'];
    return smoothFunctions[attributes.function].from === 'output' ? ['float'] : activationSaves;
  },
  forward({ attributes, inputs: [x], output, saved: { code } }) {
    const { value } = smoothFunctions[attributes.function];
    const steps = code ? stepFunction(attributes.function, attributes, bitsOf(attributes.save)) : null;
    x?.forEach((a, i) => {
      output[i] = value(a, attributes);
      if (code && steps) code[i] = codeOf(steps, a);
    });
  },
  backward: {
    inPlace: true,
    saves({ attributes }, { output }) {
      const { save } = attributes;
      if (save === 'float') {
        return [
          smoothFunctions[attributes.function].from === 'input' ? { kind: 'input', index: 0 } : { kind: 'output' },
        ];
      }
      const bytesPerImage = codeBytes(output, bitsOf(save));
      return [{ kind: 'own', name: 'code', bytesPerImage, elementsPerImage: elements(output) }];
    },
    apply({ attributes, dOutput, inputs: [x], output: y, saved: { code }, dInputs: [dx] }) {
      if (!dx) return;
      const { derivative } = smoothFunctions[attributes.function];
      const kept = x ?? y;
      if (code) {
        const { levels } = stepFunction(attributes.function, attributes, bitsOf(attributes.save));
        dOutput.forEach((dy, i) => {
          dx[i] = dy * (levels[code[i] ?? 0] ?? 0);
        });
      } else {
        dOutput.forEach((dy, i) => {
          dx[i] = dy * derivative(kept?.[i] ?? 0, attributes);
        });
      }
    },
  },
  samples: (
    [
      ['hardSwish', 0, 0],
      ['hardSigmoid', 1 / 6, 0.5],
      ['sigmoid', 0, 0],
      ['silu', 0, 0],
      ['gelu', 0, 0],
      ['geluTanh', 0, 0],
      ['tanh', 0, 0],
      ['leakyRelu', 0.1, 0],
      ['elu', 1, 0],
    ] as const
  ).map(([name, alpha, beta]) => ({
    title: `x=[3,4,9] ${name}`,
    attributes: { function: name, alpha, beta, save: name === 'leakyRelu' ? '1bit' : 'float' },
    inputs: [[3, 4, 9]],
    parameters: {},
  })),
};
