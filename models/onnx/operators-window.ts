/** @file Rules of the ops that slide a window: convolutions and pools. */
import type { WindowAttributes } from '../../kernels/window.ts';
import type { Shape } from '../../runtime/graph/graph.ts';
import type { ImportContext } from './import-context.ts';
import type { OnnxNode } from './onnx-node.ts';
import type { Operator, Rule } from './rule.ts';

const Conv: Rule = (node, context) => {
  const [x = '', w = '', b = ''] = node.inputs;
  const shape = context.shape(x);
  const dims = context.dims(w);
  if (!dims) return 'its weight is not a constant';
  if (shape?.length !== 3 || dims.length !== 4) return 'only two-dimensional convolutions of maps';
  if (context.isChannelsLast(x)) return 'its input is channels-last';
  const [out = 0, perGroup = 0, kh = 1, kw = 1] = dims;
  const channels = shape[2] ?? 0;
  const group = node.integer('group', 1);
  const window = windowOf(node, context, shape, [kh, kw]);
  const depthwise = group > 1 && group === channels && perGroup === 1 && out === channels;
  const weight = depthwise
    ? context.parameter(w, [2, 3, 0, 1], [kh, kw, channels])
    : context.parameter(w, [0, 2, 3, 1], [out, kh, kw, perGroup]);
  if (weight === undefined) return 'its weight is shared with a node that reads it in another layout';
  const bias = b === '' ? null : context.parameter(b, [0], [out]);
  if (bias === undefined) return 'its bias is not a constant';
  if (depthwise) return context.emitWithBias('DepthwiseConv', node, [x], { weight }, bias, window);
  const op = group === 1 ? 'Conv' : 'GroupedConv';
  return context.emitWithBias(op, node, [x], { weight }, bias, group === 1 ? window : { ...window, group });
};

/** Attributes of a window, with the zeros that a Pad below adds. */
function windowOf(node: OnnxNode, context: ImportContext, shape: Shape, kernel: readonly number[]): WindowAttributes {
  const window = {
    kernel,
    strides: node.integers('strides', [1, 1]),
    dilations: node.integers('dilations', [1, 1]),
    pads: node.integers('pads', [0, 0, 0, 0]),
  };
  const padding = context.padding(node.inputs[0] ?? '');
  const autoPad = node.text('auto_pad', 'NOTSET');
  if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
    const [height = 0, width = 0] = shape;
    const [top = 0, left = 0, bottom = 0, right = 0] = padding;
    window.pads = samePads([height + top + bottom, width + left + right], window, autoPad === 'SAME_LOWER');
  } else if (autoPad === 'VALID') window.pads = [0, 0, 0, 0];
  return { ...window, pads: window.pads.map((pad, i) => pad + (padding[i] ?? 0)) };
}

function samePads(shape: Shape, window: Omit<WindowAttributes, 'pads'>, lower: boolean): number[] {
  const total = [0, 1].map((axis) => {
    const stride = window.strides[axis] ?? 1;
    const extent = ((window.kernel[axis] ?? 1) - 1) * (window.dilations[axis] ?? 1) + 1;
    const size = shape[axis] ?? 1;
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent - size);
  });
  const begin = total.map((pad) => (lower ? Math.ceil(pad / 2) : Math.floor(pad / 2)));
  return [...begin, ...total.map((pad, axis) => pad - (begin[axis] ?? 0))];
}

/** The map a pool works on, or the reason why it cannot be pooled. */
function pooled(node: OnnxNode, context: ImportContext): Shape | string {
  const [x = ''] = node.inputs;
  const shape = context.shape(x);
  if (shape?.length !== 3) return 'only maps can be pooled';
  return context.isChannelsLast(x) ? 'its input is channels-last' : shape;
}

const GlobalAveragePool: Rule = (node, context) => {
  const shape = pooled(node, context);
  if (typeof shape === 'string') return shape;
  return context.emit('GlobalAveragePool', node, node.inputs.slice(0, 1), {}, { keepAxes: true });
};

const GlobalMaxPool: Rule = (node, context) => {
  const shape = pooled(node, context);
  if (typeof shape === 'string') return shape;
  const kernel = shape.slice(0, 2);
  const window = { kernel, strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], ceil: false };
  return maxPool(node, context, window);
};

const AveragePool: Rule = (node, context) => {
  const shape = pooled(node, context);
  if (typeof shape === 'string') return shape;
  const window = windowOf(node, context, shape, node.integers('kernel_shape', []));
  const unpadded = window.pads.every((pad) => pad === 0);
  if (unpadded && window.kernel.every((extent, axis) => extent === shape[axis]))
    return GlobalAveragePool(node, context);
  if (window.dilations.some((dilation) => dilation !== 1)) return 'only windows without dilation';
  const ceil = node.integer('ceil_mode', 0) !== 0;
  const counted = node.integer('count_include_pad', 0) !== 0;
  // Zeros of a Pad are pixels like others; they can only count together with the pool's own.
  const outer = context.padding(node.inputs[0] ?? '').some((pad) => pad !== 0);
  const own = node.text('auto_pad', 'NOTSET') !== 'NOTSET' || node.integers('pads', []).some((pad) => pad !== 0);
  if (outer && own && !counted) return 'its input is padded once more';
  const countPads = counted || outer;
  return context.emit('AveragePool', node, node.inputs.slice(0, 1), {}, { ...window, ceil, countPads });
};

const MaxPool: Rule = (node, context) => {
  const shape = pooled(node, context);
  if (typeof shape === 'string') return shape;
  if (node.outputs.slice(1).some((output) => context.isRead(output))) return 'its indices are an output too';
  const window = windowOf(node, context, shape, node.integers('kernel_shape', []));
  return maxPool(node, context, { ...window, ceil: node.integer('ceil_mode', 0) !== 0 });
};

function maxPool(
  node: OnnxNode,
  context: ImportContext,
  window: WindowAttributes & { readonly ceil: boolean },
): string | undefined {
  const taps = window.kernel.reduce((product, extent) => product * extent, 1);
  if (taps > 255) return `its window has ${taps} pixels, more than the 255 one byte can tell apart`;
  return context.emit('MaxPool', node, node.inputs.slice(0, 1), {}, window);
}

const maps = ['only maps can be pooled', 'its input is channels-last'];
const tooManyTaps = 'its window has … pixels, more than the 255 one byte can tell apart';

export const windowRules = {
  AveragePool: {
    read: AveragePool,
    becomes: ['AveragePool', 'GlobalAveragePool'],
    limits: [...maps, 'only windows without dilation', 'its input is padded once more'],
  },
  Conv: {
    read: Conv,
    becomes: ['Conv', 'DepthwiseConv', 'GroupedConv', 'Affine'],
    limits: [
      'its weight is not a constant',
      'only two-dimensional convolutions of maps',
      'its input is channels-last',
      'its weight is shared with a node that reads it in another layout',
      'its bias is not a constant',
    ],
  },
  GlobalAveragePool: { read: GlobalAveragePool, becomes: ['GlobalAveragePool'], limits: maps },
  GlobalMaxPool: { read: GlobalMaxPool, becomes: ['MaxPool'], limits: [...maps, tooManyTaps] },
  MaxPool: {
    read: MaxPool,
    becomes: ['MaxPool'],
    limits: [...maps, 'its indices are an output too', tooManyTaps],
  },
} satisfies Record<string, Operator>;
