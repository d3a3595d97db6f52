/**
 * @file Random changes to training images: flip, shift, crop, colour. A pure function of (seed, epoch, sample).
 *
 * Images are RGB, one byte a channel, rows of pixels (HWC), square. Geometry comes first, then colour.
 */

import { UsageError } from '../../errors.ts';
import { Random } from '../random.ts';

export interface Augmentation {
  /** Mirror left to right, every second time. */
  readonly flip: boolean;
  /** Move by a whole number of pixels, up to this many in each direction. */
  readonly shiftPixels: number;
  /** What moves in: black, as after cropping a zero-padded image, or the border pixel again. */
  readonly shiftFill: 'zero' | 'edge';
  /** Smallest part of the area that a random crop keeps; 1 is no crop. Aspect ratio from 3:4 to 4:3. */
  readonly cropArea: number;
  /** Brightness, contrast and saturation are each scaled by 1 - colour to 1 + colour. */
  readonly colour: number;
}

export const noAugmentation: Augmentation = { flip: false, shiftPixels: 0, shiftFill: 'zero', cropArea: 1, colour: 0 };

/** What was drawn for one image. */
export interface AugmentDraw {
  readonly flip: boolean;
  readonly shiftX: number;
  readonly shiftY: number;
  readonly shiftFill: 'zero' | 'edge';
  /** Part of the image that fills the whole, in pixels; null is all of it. */
  readonly crop: { readonly x: number; readonly y: number; readonly width: number; readonly height: number } | null;
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
}

const augmentStream = 0x4155;

/**
 * Reads `flip,shift:6,crop:0.8,colour:0.2`; `shift:6:edge` repeats the border; `none` is nothing.
 *
 * @throws UsageError naming the part that is wrong.
 */
export function parseAugment(text: string): Augmentation {
  let augmentation = noAugmentation;
  if (text.trim() === 'none' || text.trim() === '') return augmentation;
  const seen = new Set<string>();
  for (const part of text.split(',').map((item) => item.trim())) {
    const [given = '', value, fill, ...more] = part.split(':');
    const name = given === 'color' ? 'colour' : given;
    const refuse = (expected: string): never => {
      throw new UsageError(
        `augment "${part}": expected ${expected}\nHint: for example flip,shift:6,crop:0.8,colour:0.2, or none.`,
        { augment: text, part },
      );
    };
    if (seen.has(name)) refuse(`"${name}" only once`);
    if (more.length > 0 || (fill !== undefined && name !== 'shift')) refuse('fewer colons');
    seen.add(name);
    const number = value === undefined || value === '' ? Number.NaN : Number(value);
    if (name === 'flip') {
      if (value !== undefined) refuse('flip without a value');
      augmentation = { ...augmentation, flip: true };
    } else if (name === 'shift') {
      if (!(Number.isInteger(number) && number > 0)) refuse('shift:<pixels>, a whole number above 0');
      if (fill !== undefined && fill !== 'edge' && fill !== 'zero')
        refuse('shift:<pixels>:edge or shift:<pixels>:zero');
      augmentation = { ...augmentation, shiftPixels: number, shiftFill: fill === 'edge' ? 'edge' : 'zero' };
    } else if (name === 'crop') {
      if (!(number > 0 && number < 1)) refuse('crop:<smallest part of the area>, between 0 and 1');
      augmentation = { ...augmentation, cropArea: number };
    } else if (name === 'colour') {
      if (!(number > 0 && number < 1)) refuse('colour:<strength>, between 0 and 1');
      augmentation = { ...augmentation, colour: number };
    } else {
      refuse('flip, shift:<pixels>, crop:<part>, colour:<strength> or none');
    }
  }
  return augmentation;
}

/** How many different images a sample can become; null if they are too many to keep. */
export function variants(augmentation: Augmentation): number | null {
  const { flip, shiftPixels, cropArea, colour } = augmentation;
  if (shiftPixels > 0 || cropArea < 1 || colour > 0) return null;
  return flip ? 2 : 1;
}

/** Whether every epoch shows the same images, so that what the frozen layers make of them can be kept. */
export function isCacheable(augmentation: Augmentation): boolean {
  return variants(augmentation) === 1;
}

/** Which of its `variants` a draw is, 0 being the image as it was. */
export function variantOf(draw: AugmentDraw): number {
  return draw.flip ? 1 : 0;
}

/** Draws the changes to one sample in one epoch. `size` is the image's side in pixels. */
export function drawAugment(
  augmentation: Augmentation,
  size: number,
  seed: number,
  epoch: number,
  sample: number,
): AugmentDraw {
  const random = new Random(seed, epoch, sample, augmentStream);
  const { shiftPixels, shiftFill, colour, cropArea } = augmentation;
  // Every number is drawn, wanted or not: turning one change off leaves the others as they were.
  const flip = random.uniform() < 0.5;
  const shiftX = random.integer(-shiftPixels, shiftPixels);
  const shiftY = random.integer(-shiftPixels, shiftPixels);
  const area = random.uniform(cropArea, 1) * size * size;
  const aspect = Math.exp(random.uniform(Math.log(3 / 4), Math.log(4 / 3)));
  const width = Math.min(size, Math.sqrt(area * aspect));
  const height = Math.min(size, Math.sqrt(area / aspect));
  const x = random.uniform(0, size - width);
  const y = random.uniform(0, size - height);
  const factor = () => random.uniform(1 - colour, 1 + colour);
  return {
    flip: augmentation.flip && flip,
    shiftX,
    shiftY,
    shiftFill,
    crop: cropArea < 1 ? { x, y, width, height } : null,
    brightness: factor(),
    contrast: factor(),
    saturation: factor(),
  };
}

/** Writes the changed `source` image into `target`; the two must not overlap. */
export function applyAugment(draw: AugmentDraw, source: Uint8Array, target: Uint8Array, size: number): void {
  if (draw.crop) resample(draw.crop, draw.flip, source, target, size);
  else copy(draw.flip, source, target, size);
  if (draw.shiftX !== 0 || draw.shiftY !== 0) shift(draw, target, size);
  if (draw.brightness !== 1 || draw.contrast !== 1 || draw.saturation !== 1) recolour(draw, target);
}

function copy(flip: boolean, source: Uint8Array, target: Uint8Array, size: number): void {
  if (!flip) {
    target.set(source);
    return;
  }
  const rowBytes = 3 * size;
  for (let row = 0; row < size; row++) {
    let from = (row + 1) * rowBytes - 3;
    for (let to = row * rowBytes; to < (row + 1) * rowBytes; to += 3, from -= 3) {
      target[to] = source[from] as number;
      target[to + 1] = source[from + 1] as number;
      target[to + 2] = source[from + 2] as number;
    }
  }
}

/** Moves the image in place by (shiftX, shiftY): rows are walked away from the side they come from. */
function shift({ shiftX, shiftY, shiftFill }: AugmentDraw, image: Uint8Array, size: number): void {
  const rowBytes = 3 * size;
  const keptBytes = 3 * Math.max(0, size - Math.abs(shiftX));
  const edge = new Uint8Array(3);
  for (let step = 0; step < size; step++) {
    const row = shiftY > 0 ? size - 1 - step : step;
    const to = row * rowBytes;
    const inside = row - shiftY >= 0 && row - shiftY < size;
    if (!inside && shiftFill === 'zero') {
      image.fill(0, to, to + rowBytes);
      continue;
    }
    const from = rowBytes * Math.min(size - 1, Math.max(0, row - shiftY));
    if (shiftFill === 'edge') {
      const corner = shiftX > 0 ? from : from + rowBytes - 3;
      edge.set(image.subarray(corner, corner + 3));
    }
    const source = shiftX > 0 ? from : from + rowBytes - keptBytes;
    image.copyWithin(shiftX > 0 ? to + rowBytes - keptBytes : to, source, source + keptBytes);
    const gap = shiftX > 0 ? to : to + keptBytes;
    for (let at = gap; at < gap + rowBytes - keptBytes; at += 3) image.set(edge, at);
  }
}

/** Stretches a part of the image over the whole, bilinear, pixel centres at half positions. */
function resample(
  crop: NonNullable<AugmentDraw['crop']>,
  flip: boolean,
  source: Uint8Array,
  target: Uint8Array,
  size: number,
): void {
  const columns = neighbours(crop.x, crop.width, size);
  const rows = neighbours(crop.y, crop.height, size);
  for (let row = 0; row < size; row++) {
    const top = 3 * size * (rows.first[row] as number);
    const bottom = 3 * size * (rows.second[row] as number);
    const down = rows.share[row] as number;
    for (let column = 0; column < size; column++) {
      const left = 3 * (columns.first[column] as number);
      const right = 3 * (columns.second[column] as number);
      const along = columns.share[column] as number;
      const to = 3 * (row * size + (flip ? size - 1 - column : column));
      for (let channel = 0; channel < 3; channel++) {
        const topLeft = source[top + left + channel] as number;
        const bottomLeft = source[bottom + left + channel] as number;
        const above = topLeft + along * ((source[top + right + channel] as number) - topLeft);
        const below = bottomLeft + along * ((source[bottom + right + channel] as number) - bottomLeft);
        target[to + channel] = toByte(above + down * (below - above));
      }
    }
  }
}

/** Of each pixel of one axis: the two source pixels between which it lies, and the second one's share. */
function neighbours(start: number, extent: number, size: number) {
  const clamp = (position: number) => Math.min(size - 1, Math.max(0, position));
  const [first, second, share] = [new Int32Array(size), new Int32Array(size), new Float64Array(size)];
  for (let i = 0; i < size; i++) {
    const position = clamp(start + ((i + 0.5) * extent) / size - 0.5);
    first[i] = Math.floor(position);
    second[i] = clamp(Math.floor(position) + 1);
    share[i] = position - Math.floor(position);
  }
  return { first, second, share };
}

/** Brightness, then contrast about the image's mean grey, then saturation about each pixel's grey; rounded once. */
function recolour({ brightness, contrast, saturation }: AugmentDraw, image: Uint8Array): void {
  let sum = 0;
  for (let at = 0; at < image.length; at += 3) sum += grey(image, at);
  const mean = (brightness * sum) / (image.length / 3);
  const scale = contrast * brightness;
  const offset = (1 - contrast) * mean;
  const toned = Float64Array.from({ length: 256 }, (_, value) => saturation * (scale * value + offset));
  for (let at = 0; at < image.length; at += 3) {
    const dull = (1 - saturation) * (scale * grey(image, at) + offset);
    image[at] = toByte((toned[image[at] as number] as number) + dull);
    image[at + 1] = toByte((toned[image[at + 1] as number] as number) + dull);
    image[at + 2] = toByte((toned[image[at + 2] as number] as number) + dull);
  }
}

/** Halves up, cut at black and white. Several times faster than Math.round with Math.min and Math.max. */
function toByte(value: number): number {
  if (value <= 0) return 0;
  return value >= 255 ? 255 : (value + 0.5) | 0;
}

/** Luma of ITU-R BT.601. */
function grey(image: Uint8Array, at: number): number {
  return 0.299 * (image[at] as number) + 0.587 * (image[at + 1] as number) + 0.114 * (image[at + 2] as number);
}
