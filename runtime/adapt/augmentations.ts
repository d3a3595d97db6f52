/**
 * @file Random views of frames, the strong augmentation of CoTTA and RoTTA (Wang et al., CVPR 2022, their CIFAR runs):
 * jitter of brightness, contrast, saturation, hue and gamma in random order, rotation, scale and shift with repeated borders, a
 * slight blur, a mirror, noise.
 *
 * One view is drawn for all frames of a pass; the noise is drawn for each value. Frames are u8, RGB, channels-last, square.
 */
import { Random } from '../train/random.ts';
import { hsvToRgb, rgbToHsv } from './corruptions/hsv.ts';

/** What was drawn. */
export interface View {
  /** Of colours from 0 to 1, one after the other. */
  readonly colours: readonly ((rgb: Float64Array) => Float64Array)[];
  /** Radians. */
  readonly angle: number;
  readonly scale: number;
  /** Whole pixels. */
  readonly shiftX: number;
  readonly shiftY: number;
  /** Of the blur, in pixels. */
  readonly sigma: number;
  readonly flip: boolean;
}

/** Deviation of the noise, of colours from 0 to 1. */
const NOISE = 0.005;
/** Of the blur's 5 x 5 kernel. */
const RADIUS = 2;
const viewStream = 0x5657;

/**
 * Writes a random view of `count` frames to `target`.
 * @param size side in pixels
 * @param key of the random numbers: seed, step, number of the view
 */
export function augmentFrames(
  frames: Uint8Array,
  count: number,
  size: number,
  key: readonly number[],
  target: Uint8Array,
): void {
  const random = new Random(...key, viewStream);
  const view = drawView(random, size);
  const bytes = size * size * 3;
  for (let n = 0; n < count; n++) {
    let colours: Float64Array = new Float64Array(bytes);
    for (let i = 0; i < bytes; i++) colours[i] = (frames[n * bytes + i] as number) / 255;
    for (const change of view.colours) {
      colours = change(colours);
      for (let i = 0; i < bytes; i++) colours[i] = clamp(colours[i] as number);
    }
    const moved = blur(move(colours, size, view), size, view.sigma);
    let to = n * bytes;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const from = 3 * (y * size + (view.flip ? size - 1 - x : x));
        for (let c = 0; c < 3; c++) {
          target[to++] = Math.round(255 * clamp((moved[from + c] as number) + random.normal(0, NOISE)));
        }
      }
    }
  }
}

/** Draws a view of frames of `size` x `size` pixels. */
export function drawView(random: Random, size: number): View {
  const brightness = random.uniform(0.6, 1.4);
  const contrast = random.uniform(0.7, 1.3);
  const saturation = random.uniform(0.5, 1.5);
  const hue = random.uniform(-0.06, 0.06);
  const gamma = random.uniform(0.7, 1.3);
  const colours = [
    (rgb: Float64Array) => rgb.map((value) => brightness * value),
    (rgb: Float64Array) => withContrast(rgb, contrast),
    (rgb: Float64Array) => rgb.map((value, i) => saturation * value + (1 - saturation) * grey(rgb, i - (i % 3))),
    (rgb: Float64Array) => hsvToRgb(rgbToHsv(rgb).map((value, i) => (i % 3 === 0 ? (value + hue + 1) % 1 : value))),
    (rgb: Float64Array) => rgb.map((value) => value ** gamma),
  ];
  for (let last = colours.length - 1; last > 0; last--) colours.push(...colours.splice(random.integer(0, last), 1));
  // A sixteenth of the frame padded to twice its side.
  const reach = size / 8;
  return {
    colours,
    angle: (random.uniform(-15, 15) * Math.PI) / 180,
    scale: random.uniform(0.9, 1.1),
    shiftX: Math.round(random.uniform(-reach, reach)),
    shiftY: Math.round(random.uniform(-reach, reach)),
    sigma: random.uniform(0.001, 0.5),
    flip: random.uniform() < 0.5,
  };
}

function withContrast(rgb: Float64Array, contrast: number): Float64Array {
  let sum = 0;
  for (let at = 0; at < rgb.length; at += 3) sum += grey(rgb, at);
  const mean = (3 * sum) / rgb.length;
  return rgb.map((value) => contrast * value + (1 - contrast) * mean);
}

/** Luma of ITU-R BT.601. */
function grey(rgb: Float64Array, at: number): number {
  return 0.299 * (rgb[at] ?? 0) + 0.587 * (rgb[at + 1] ?? 0) + 0.114 * (rgb[at + 2] ?? 0);
}

/** The frame turned, scaled and shifted, bilinear, with the blur's radius around it; beyond the border its pixels repeat. */
function move(rgb: Float64Array, size: number, { angle, scale, shiftX, shiftY }: View): Float64Array {
  const side = size + 2 * RADIUS;
  const moved = new Float64Array(side * side * 3);
  const centre = (size - 1) / 2;
  const [cos, sin] = [Math.cos(angle) / scale, Math.sin(angle) / scale];
  let to = 0;
  for (let row = 0; row < side; row++) {
    const dy = row - RADIUS - centre - shiftY;
    for (let column = 0; column < side; column++) {
      const dx = column - RADIUS - centre - shiftX;
      const x = inside(centre + cos * dx + sin * dy, size);
      const y = inside(centre - sin * dx + cos * dy, size);
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const right = 3 * Math.min(left + 1, size - 1);
      const above = 3 * size * top;
      const below = 3 * size * Math.min(top + 1, size - 1);
      for (let c = 0; c < 3; c++) {
        const upper = mix(rgb[above + 3 * left + c] as number, rgb[above + right + c] as number, x - left);
        const lower = mix(rgb[below + 3 * left + c] as number, rgb[below + right + c] as number, x - left);
        moved[to++] = mix(upper, lower, y - top);
      }
    }
  }
  return moved;
}

/** Gaussian, along rows and then along columns; what lies around the frame is used up. */
function blur(rgb: Float64Array, size: number, sigma: number): Float64Array {
  const side = size + 2 * RADIUS;
  const taps = Float64Array.from({ length: 2 * RADIUS + 1 }, (_, i) =>
    Math.exp(-((i - RADIUS) ** 2) / (2 * sigma ** 2)),
  );
  const sum = taps.reduce((total, tap) => total + tap, 0);
  const weights = taps.map((tap) => tap / sum);
  return smooth(smooth(rgb, side, size, side * 3, 3, weights), size, size, size * 3, size * 3, weights);
}

/** Weighted sums of values `tapStep` apart, for `rows` rows of `size` pixels that start `rowStep` apart. */
function smooth(
  from: Float64Array,
  rows: number,
  size: number,
  rowStep: number,
  tapStep: number,
  weights: Float64Array,
): Float64Array {
  const out = new Float64Array(rows * size * 3);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < size * 3; i++) {
      let sum = 0;
      for (let tap = 0; tap < weights.length; tap++) {
        sum += (weights[tap] as number) * (from[row * rowStep + i + tap * tapStep] as number);
      }
      out[row * size * 3 + i] = sum;
    }
  }
  return out;
}

const mix = (a: number, b: number, share: number): number => a + share * (b - a);
const clamp = (value: number): number => (value <= 0 ? 0 : value >= 1 ? 1 : value);
const inside = (position: number, size: number): number => Math.min(size - 1, Math.max(0, position));
