/** @file How the calls of SIMD kernels are cut into shares: by channels, by rows, or by elements. */
import type { SimdKernels } from '../../../kernels/simd/simd.ts';

/** What a kernel waits for: one core may take all the memory bandwidth there is, but never all the arithmetic. */
type Bound = 'arithmetic' | 'memory';

/** Cut by channels, or rows of a product: the kernel's last two arguments are the range. `extents`: whose product is its work. */
interface ByChannels {
  readonly by: 'channels';
  readonly bound: Bound;
  /** Index of the argument with the number of channels, or rows. */
  readonly size: number;
  readonly extents: readonly number[];
}

/** Cut by rows `[rows, C]`, where nothing is summed over them: pointers to maps and masks move, the count shrinks. */
interface ByRows {
  readonly by: 'rows';
  readonly bound: Bound;
  readonly size: number;
  readonly channels: number;
  readonly maps: readonly number[];
  readonly mask: number;
}

/** Cut by elements: pointers move, the count shrinks. */
interface ByElements {
  readonly by: 'elements';
  readonly bound: Bound;
  readonly size: number;
  readonly pointers: readonly number[];
}

export type Share = ByChannels | ByRows | ByElements;

/** A window kernel's geometry begins at its fourth argument: batch, height, width, channels, ... */
const window = { by: 'channels', bound: 'arithmetic', size: 6, extents: [3, 4, 5, 6] } as const;

/** Its arguments are three pointers, m, k and n. */
const product = { by: 'channels', bound: 'arithmetic', size: 3, extents: [3, 4, 5] } as const;

export const shares = {
  affineForward: { by: 'rows', bound: 'memory', size: 2, channels: 3, maps: [0, 1], mask: 8 },
  clipForward: { by: 'rows', bound: 'memory', size: 2, channels: 3, maps: [0, 1], mask: 6 },
  affineBackward: { by: 'channels', bound: 'memory', size: 3, extents: [2, 3] },
  affineScaleGradient: { by: 'channels', bound: 'memory', size: 3, extents: [2, 3] },
  depthwiseForward: window,
  depthwiseInputGradient: window,
  depthwiseWeightGradient: window,
  productNn: product,
  productNt: product,
  productTnAdd: product,
  add: { by: 'elements', bound: 'memory', size: 3, pointers: [0, 1, 2] },
  multiply: { by: 'elements', bound: 'memory', size: 3, pointers: [0, 1, 2] },
  sgd: { by: 'elements', bound: 'memory', size: 3, pointers: [0, 1, 2] },
  adam: { by: 'elements', bound: 'memory', size: 4, pointers: [0, 1, 2, 3] },
} as const satisfies Partial<Record<keyof SimdKernels, Share>>;

export type KernelName = keyof typeof shares;

/** Channels and elements are cut at multiples of this: whole cache lines, whole mask bytes. */
const GRAIN = 16;

/** Elements that a call works on. */
export function work(share: Share, args: readonly number[]): number {
  return extents(share).reduce((product, index) => product * (args[index] ?? 0), 1);
}

function extents(share: Share): readonly number[] {
  if (share.by === 'channels') return share.extents;
  return share.by === 'rows' ? [share.size, share.channels] : [share.size];
}

/** Arguments of share `index` of `parts`; null if nothing is left for it. */
export function cut(share: Share, args: readonly number[], index: number, parts: number): number[] | null {
  const size = args[share.size] ?? 0;
  const grain = share.by === 'rows' ? 1 : GRAIN;
  const [from, to] = [border(size, grain, index, parts), border(size, grain, index + 1, parts)];
  if (from >= to) return null;
  if (share.by === 'channels') return [...args.slice(0, -2), from, to];
  const moved = args.map((value, at) => (value === 0 ? 0 : value + from * bytesAt(share, args, at)));
  moved[share.size] = to - from;
  return moved;
}

/** Bytes from one row or element to the next behind argument `at`; 0 if it is no pointer to them. */
function bytesAt(share: ByRows | ByElements, args: readonly number[], at: number): number {
  if (share.by === 'elements') return share.pointers.includes(at) ? 4 : 0;
  const channels = args[share.channels] ?? 0;
  if (share.maps.includes(at)) return 4 * channels;
  return at === share.mask ? Math.ceil(channels / 8) : 0;
}

function border(size: number, grain: number, index: number, parts: number): number {
  return index === parts ? size : Math.min(size, grain * Math.round((Math.ceil(size / grain) * index) / parts));
}
