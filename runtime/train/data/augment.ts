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
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const from = 3 * (row * size + size - 1 - column);
      const to = 3 * (row * size + column);
      target[to] = source[from] as number;
      target[to + 1] = source[from + 1] as number;
      target[to + 2] = source[from + 2] as number;
    }
  }
}

/** Moves the image in place by (shiftX, shiftY): rows and columns are walked away from the side they come from. */
function shift({ shiftX, shiftY, shiftFill }: AugmentDraw, image: Uint8Array, size: number): void {
  const inside = (position: number) => position >= 0 && position < size;
  const clamp = (position: number) => Math.min(size - 1, Math.max(0, position));
  for (let step = 0; step < size; step++) {
    const row = shiftY > 0 ? size - 1 - step : step;
    for (let move = 0; move < size; move++) {
      const column = shiftX > 0 ? size - 1 - move : move;
      const known = inside(row - shiftY) && inside(column - shiftX);
      const from = 3 * (clamp(row - shiftY) * size + clamp(column - shiftX));
      const to = 3 * (row * size + column);
      const blank = !known && shiftFill === 'zero';
      for (let channel = 0; channel < 3; channel++) {
        image[to + channel] = blank ? 0 : (image[from + channel] as number);
      }
    }
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
  const clamp = (position: number) => Math.min(size - 1, Math.max(0, position));
  for (let row = 0; row < size; row++) {
    const y = clamp(crop.y + ((row + 0.5) * crop.height) / size - 0.5);
    const top = Math.floor(y);
    const bottom = clamp(top + 1);
    for (let column = 0; column < size; column++) {
      const x = clamp(crop.x + ((column + 0.5) * crop.width) / size - 0.5);
      const left = Math.floor(x);
      const right = clamp(left + 1);
      const to = 3 * (row * size + (flip ? size - 1 - column : column));
      for (let channel = 0; channel < 3; channel++) {
        const at = (line: number, place: number) => source[3 * (line * size + place) + channel] as number;
        const above = at(top, left) + (x - left) * (at(top, right) - at(top, left));
        const below = at(bottom, left) + (x - left) * (at(bottom, right) - at(bottom, left));
        target[to + channel] = Math.round(above + (y - top) * (below - above));
      }
    }
  }
}

/** Brightness, then contrast about the image's mean grey, then saturation about each pixel's grey; rounded once. */
function recolour({ brightness, contrast, saturation }: AugmentDraw, image: Uint8Array): void {
  let sum = 0;
  for (let at = 0; at < image.length; at += 3) sum += grey(image, at);
  const mean = (brightness * sum) / (image.length / 3);
  const scale = contrast * brightness;
  const offset = (1 - contrast) * mean;
  for (let at = 0; at < image.length; at += 3) {
    const dull = (1 - saturation) * (scale * grey(image, at) + offset);
    for (let channel = 0; channel < 3; channel++) {
      const value = saturation * (scale * (image[at + channel] as number) + offset) + dull;
      image[at + channel] = Math.min(255, Math.max(0, Math.round(value)));
    }
  }
}

/** Luma of ITU-R BT.601. */
function grey(image: Uint8Array, at: number): number {
  return 0.299 * (image[at] as number) + 0.587 * (image[at + 1] as number) + 0.114 * (image[at + 2] as number);
}
