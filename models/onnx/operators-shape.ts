/** @file Rules of ops that move values and compute none: flattening, slices, joins and changes of layout. */
import { elements } from '../../runtime/graph/graph.ts';
import type { ImportContext } from './import-context.ts';
import { transposeKind } from './layout.ts';
import type { OnnxNode } from './onnx-node.ts';
import type { Operator, Rule } from './rule.ts';

const Identity: Rule = (node, context) => context.rename(node, node.inputs[0] ?? '');

const Dropout: Rule = (node, context) => {
  if (node.outputs.slice(1).some((output) => context.isRead(output))) return 'its mask is an output too';
  const mode = node.inputs[2] ?? '';
  return mode === '' || context.isFalse(mode) ? Identity(node, context) : 'it is exported in training mode';
};

const Flatten: Rule = (node, context) => {
  const axis = node.integer('axis', 1);
  const rank = context.onnxDims(node.inputs[0] ?? '')?.length ?? 0;
  return (axis < 0 ? axis + rank : axis) === 1 ? flattenOrRename(node, context) : 'only axis 1';
};

const Reshape: Rule = (node, context) => {
  const [x = '', shape = ''] = node.inputs;
  const dims = context.onnxDims(x);
  const given = shape === '' ? node.integers('shape', []) : context.vector(shape);
  if (!given || !dims) return 'its target is not known';
  const size = dims.slice(1).reduce((product, extent) => product * extent, 1);
  const [, ...wanted] = given.map((extent, axis) => (extent === 0 ? (dims[axis] ?? 1) : extent));
  const target = filledIn(wanted, size);
  if (String(target) === String(dims.slice(1))) return context.rename(node, x);
  if (target.length === 1 && target[0] === size) return flattenOrRename(node, context);
  return `only a flattening to [N, features]; its target is [${given}]`;
};

/** The target with its -1 worked out. */
function filledIn(target: readonly number[], size: number): readonly number[] {
  const known = target.filter((extent) => extent !== -1).reduce((product, extent) => product * extent, 1);
  return target.map((extent) => (extent === -1 ? size / known : extent));
}

const Squeeze: Rule = (node, context) => {
  const [x = '', second = ''] = node.inputs;
  const shape = context.shape(x);
  const dims = context.onnxDims(x) ?? [];
  const axes = second === '' ? node.integers('axes', []) : (context.integers(second) ?? []);
  const dropped = axes.map((axis) => (axis < 0 ? axis + dims.length : axis)).sort();
  const pixel = context.channelAxis(x) === 3 ? '1,2' : '2,3';
  if (shape?.length !== 3 || shape[0] !== 1 || shape[1] !== 1) return 'only of a single pixel';
  return axes.length === 0 || String(dropped) === pixel ? flattenOrRename(node, context) : `its axes are [${axes}]`;
};

const NO_MAP = 'it flattens neither a map nor a vector';

function flattenOrRename(node: OnnxNode, context: ImportContext): string | undefined {
  const [x = ''] = node.inputs;
  const shape = context.shape(x);
  if (!shape) return 'its input has no known shape';
  if (shape.length === 1) return context.rename(node, x);
  if (shape.length !== 3) return NO_MAP;
  if (context.isChannelsLast(x) && elements(shape) !== shape.at(-1)) return 'it flattens a channels-last map';
  return context.emit('Flatten', node, [x], {}, {});
}

const Transpose: Rule = (node, context) => {
  const [x = ''] = node.inputs;
  const reversed = (context.onnxDims(x) ?? []).map((_, axis) => axis).reverse();
  const permutation = node.integers('perm', reversed);
  if (permutation.every((axis, i) => axis === i)) return context.rename(node, x);
  const kind = transposeKind(permutation);
  const last = context.isChannelsLast(x);
  if (context.shape(x)?.length !== 3 || kind !== (last ? 'to first' : 'to last')) {
    return `only between NCHW and NHWC; it permutes [${permutation}]`;
  }
  return context.rename(node, x);
};

const Concat: Rule = (node, context) => {
  const [x = ''] = node.inputs;
  if (node.inputs.some((input) => !context.shape(input))) return 'it joins constants';
  if (!isChannelAxis(node.integer('axis', 1), x, context)) return 'only along the channels';
  const pixels = (input: string): string => String(context.shape(input)?.slice(0, -1));
  const fits = node.inputs.every(
    (input) => pixels(input) === pixels(x) && context.isChannelsLast(input) === context.isChannelsLast(x),
  );
  return fits ? context.emit('Concat', node, node.inputs, {}, {}) : 'it joins maps of different sizes';
};

function isChannelAxis(axis: number, x: string, context: ImportContext): boolean {
  const rank = context.onnxDims(x)?.length ?? 0;
  return (axis < 0 ? axis + rank : axis) === context.channelAxis(x);
}

const Split: Rule = (node, context) => {
  const [x = '', sizesInput = ''] = node.inputs;
  if (!isChannelAxis(node.integer('axis', 0), x, context)) return 'only along the channels';
  const channels = context.shape(x)?.at(-1) ?? 0;
  const count = node.integer('num_outputs', node.slots.length);
  const chunk = Math.ceil(channels / count);
  const even = Array.from({ length: count }, (_, i) => Math.min(chunk, channels - i * chunk));
  const sizes = sizesInput === '' ? node.integers('split', even) : context.vector(sizesInput);
  if (!sizes || sizes.reduce((sum, size) => sum + size, 0) !== channels || sizes.some((size) => size <= 0)) {
    return `its parts [${sizes ?? 'not known'}] are not ${channels} channels`;
  }
  let from = 0;
  node.slots.forEach((output, i) => {
    const to = from + (sizes[i] ?? 0);
    if (output !== '')
      context.emit('ChannelSlice', node, [x], {}, { from, to }, output, i === 0 ? '' : ` part ${i + 1}`);
    from = to;
  });
  return undefined;
};

const Slice: Rule = (node, context) => {
  const [x = '', starts = '', ends = '', axes = '', steps = ''] = node.inputs;
  const dims = context.onnxDims(x) ?? [];
  const read = (input: string, attribute: string, fallback?: readonly number[]) =>
    input === '' ? node.integers(attribute, fallback ?? []) : context.vector(input);
  const begin = read(starts, 'starts');
  const end = read(ends, 'ends');
  const along = read(
    axes,
    'axes',
    begin?.map((_, i) => i),
  );
  if (!begin || !end || !along || begin.length !== end.length) return 'its limits are not known';
  if (read(steps, 'steps')?.some((step) => step !== 1)) return 'only steps of 1';
  let [from, to] = [0, context.shape(x)?.at(-1) ?? 0];
  for (const [i, given] of along.entries()) {
    const axis = given < 0 ? given + dims.length : given;
    const size = dims[axis] ?? Number.NaN;
    const place = (at = 0): number => Math.max(0, Math.min(size, at < 0 ? at + size : at));
    const whole = begin[i] === 0 && ((end[i] ?? 0) >= size || (end[i] ?? 0) > 1e9);
    if (axis === context.channelAxis(x)) [from, to] = [place(begin[i]), place(end[i])];
    else if (!whole) return 'only along the channels';
  }
  if (!(to > from)) return `it takes the channels [${from}, ${to})`;
  if (from === 0 && to === context.shape(x)?.at(-1)) return context.rename(node, x);
  return context.emit('ChannelSlice', node, [x], {}, { from, to });
};

const Pad: Rule = (node, context) => {
  const [x = '', padsInput = '', valueInput = ''] = node.inputs;
  const pads = padsInput === '' ? node.integers('pads', []) : context.vector(padsInput);
  const value = valueInput === '' ? node.float('value', 0) : context.scalar(valueInput);
  if (!pads || pads.some((pad) => !(pad >= 0))) return 'its pads are not known or negative';
  if (pads.every((pad) => pad === 0)) return context.rename(node, x);
  if (node.text('mode', 'constant') !== 'constant' || value !== 0) return 'only of zeros';
  const [n = 0, c = 0, top = 0, left = 0, n2 = 0, c2 = 0, bottom = 0, right = 0] = pads;
  if (pads.length !== 8 || context.isChannelsLast(x) || n + c + n2 + c2 !== 0 || (node.inputs[3] ?? '') !== '') {
    return 'only around maps';
  }
  const windows = context.readersOf(node.output);
  if (windows.length === 0 || windows.some((op) => op !== 'Conv' && op !== 'AveragePool')) {
    return 'only before convolutions and average pools';
  }
  return context.pad(node, x, [top, left, bottom, right]);
};

const flattens = ['its input has no known shape', NO_MAP, 'it flattens a channels-last map'];
const alongChannels = 'only along the channels';

export const shapeRules = {
  Concat: {
    read: Concat,
    becomes: ['Concat'],
    limits: ['it joins constants', alongChannels, 'it joins maps of different sizes'],
  },
  Dropout: { read: Dropout, becomes: [], limits: ['its mask is an output too', 'it is exported in training mode'] },
  Flatten: { read: Flatten, becomes: ['Flatten'], limits: ['only axis 1', ...flattens] },
  Identity: { read: Identity, becomes: [], limits: [] },
  Pad: {
    read: Pad,
    becomes: [],
    limits: [
      'its pads are not known or negative',
      'only of zeros',
      'only around maps',
      'only before convolutions and average pools',
    ],
  },
  Reshape: {
    read: Reshape,
    becomes: ['Flatten'],
    limits: ['its target is not known', 'only a flattening to [N, features]', ...flattens],
  },
  Slice: {
    read: Slice,
    becomes: ['ChannelSlice'],
    limits: ['its limits are not known', 'only steps of 1', alongChannels, 'it takes the channels'],
  },
  Split: {
    read: Split,
    becomes: ['ChannelSlice'],
    limits: [alongChannels, 'its parts […] are not … channels'],
  },
  Squeeze: { read: Squeeze, becomes: ['Flatten'], limits: ['only of a single pixel', 'its axes are […]', ...flattens] },
  Transpose: { read: Transpose, becomes: [], limits: ['only between NCHW and NHWC'] },
} satisfies Record<string, Operator>;
