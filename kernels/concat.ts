/**
 * @file Concat: y = the inputs side by side along channels   (ONNX Concat-13 on the channel axis)
 *
 * x_k [.., C_k], all but the channels alike -> y [.., sum of C_k]. dx_k is the slice of dy that x_k went to.
 * Saved: nothing.
 */
import { ShapeError } from '../runtime/errors.ts';
import type { Shape } from '../runtime/graph/graph.ts';
import type { Kernel } from './kernel.ts';

export const concat: Kernel = {
  op: 'Concat',
  trainable: [],
  shape(node, inputs) {
    const [first = []] = inputs;
    const pixels = first.slice(0, -1);
    const alike = ({ length }: Shape, x: Shape): boolean =>
      x.length === length && pixels.every((extent, axis) => extent === x[axis]);
    if (first.length === 0 || !inputs.every((x) => alike(first, x))) {
      throw new ShapeError({
        op: 'Concat',
        node: node.name,
        expected: `tensors [${[...pixels, 'any']}]`,
        actual: inputs.map((x) => `[${x}]`).join(', '),
      });
    }
    return [...pixels, channelStarts(inputs).at(-1) ?? 0];
  },
  flops: () => 0,
  forward({ shapes, inputs, output }) {
    forEachChannel(shapes.inputs, shapes.output, output.length, (input, from, to) => {
      output[to] = inputs[input]?.[from] ?? 0;
    });
  },
  backward: {
    saves: () => [],
    apply({ shapes, dOutput, dInputs }) {
      forEachChannel(shapes.inputs, shapes.output, dOutput.length, (input, to, from) => {
        const dx = dInputs[input];
        if (dx) dx[to] = dOutput[from] ?? 0;
      });
    },
  },
  samples: [
    {
      title: 'a=[3,4,5] b=[3,4,8] c=[3,4,1]',
      attributes: {},
      inputs: [
        [3, 4, 5],
        [3, 4, 8],
        [3, 4, 1],
      ],
      parameters: {},
    },
    { title: 'a=[4] b=[7]', attributes: {}, inputs: [[4], [7]], parameters: {} },
  ],
};

/** First output channel of each input, and behind them the number of channels. */
export function channelStarts(inputs: readonly Shape[]): readonly number[] {
  const starts = [0];
  for (const [k, x] of inputs.entries()) starts.push((starts[k] ?? 0) + (x.at(-1) ?? 1));
  return starts;
}

/** Visits (input, its index, the output's index) for all `count` elements of the output. */
function forEachChannel(
  inputs: readonly Shape[],
  output: Shape,
  count: number,
  visit: (input: number, at: number, outputAt: number) => void,
): void {
  const total = output.at(-1) ?? 1;
  const starts = channelStarts(inputs);
  for (const [k, x] of inputs.entries()) {
    const channels = x.at(-1) ?? 1;
    for (let row = 0; row < count / total; row++) {
      for (let c = 0; c < channels; c++) visit(k, row * channels + c, row * total + (starts[k] ?? 0) + c);
    }
  }
}
