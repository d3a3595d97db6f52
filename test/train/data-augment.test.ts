import test from 'ava';
import { UsageError } from '../../runtime/errors.ts';
import {
  type AugmentDraw,
  applyAugment,
  drawAugment,
  isCacheable,
  noAugmentation,
  parseAugment,
  variantOf,
  variants,
} from '../../runtime/train/data/augment.ts';
import { Random } from '../../runtime/train/random.ts';

const seed = 7;
const size = 9;
const still: AugmentDraw = drawAugment(noAugmentation, size, seed, 0, 0);

function randomImage(key: number): Uint8Array {
  const random = new Random(seed, key);
  return Uint8Array.from({ length: size * size * 3 }, () => random.integer(0, 255));
}

function apply(draw: AugmentDraw, source: Uint8Array): Uint8Array {
  const target = new Uint8Array(source.length).fill(99);
  applyAugment(draw, source, target, size);
  return target;
}

const pixel = (image: Uint8Array, row: number, column: number) => {
  const at = 3 * (row * size + column);
  return [...image.subarray(at, at + 3)];
};

test('nothing asked for copies the image', (t) => {
  const image = randomImage(0);
  t.deepEqual(apply(still, image), image);
});

test('flip mirrors each row, and twice is the image again', (t) => {
  const image = randomImage(1);
  const flipped = apply({ ...still, flip: true }, image);
  t.notDeepEqual(flipped, image);
  t.deepEqual(pixel(flipped, 2, 0), pixel(image, 2, size - 1));
  t.deepEqual(apply({ ...still, flip: true }, flipped), image);
});

for (const shiftFill of ['zero', 'edge'] as const) {
  for (const [shiftX, shiftY] of [
    [2, 0],
    [-2, 0],
    [0, 3],
    [0, -3],
    [2, 3],
    [-2, -3],
    [2, -3],
    [-2, 3],
    [9, 0],
    [-12, 2],
    [3, -10],
    [0, 0],
  ] as const) {
    test(`shift x=${shiftX} y=${shiftY} fill=${shiftFill} moves every pixel`, (t) => {
      const image = randomImage(2);
      const moved = apply({ ...still, shiftX, shiftY, shiftFill }, image);
      const clamp = (position: number) => Math.min(size - 1, Math.max(0, position));
      for (let row = 0; row < size; row++) {
        for (let column = 0; column < size; column++) {
          const [fromRow, fromColumn] = [row - shiftY, column - shiftX];
          const inside = clamp(fromRow) === fromRow && clamp(fromColumn) === fromColumn;
          const expected = inside || shiftFill === 'edge' ? pixel(image, clamp(fromRow), clamp(fromColumn)) : [0, 0, 0];
          t.deepEqual(pixel(moved, row, column), expected, `row ${row} column ${column}`);
        }
      }
    });
  }
}

test('a crop of the whole is the image, with and without flip', (t) => {
  const image = randomImage(3);
  const crop = { x: 0, y: 0, width: size, height: size };
  t.deepEqual(apply({ ...still, crop }, image), image);
  t.deepEqual(apply({ ...still, crop, flip: true }, image), apply({ ...still, flip: true }, image));
});

test('a crop of whole pixels stretched by three keeps each at the centre of its square', (t) => {
  const image = randomImage(4);
  const cropped = apply({ ...still, crop: { x: 3, y: 2, width: 3, height: 3 } }, image);
  for (const row of [0, 1, 2]) {
    for (const column of [0, 1, 2]) {
      t.deepEqual(pixel(cropped, 3 * row + 1, 3 * column + 1), pixel(image, 2 + row, 3 + column));
    }
  }
});

test('brightness scales and cuts at white', (t) => {
  const image = Uint8Array.from({ length: size * size * 3 }, (_, i) => i % 256);
  const bright = apply({ ...still, brightness: 1.5 }, image);
  t.deepEqual(
    bright,
    image.map((value) => Math.min(255, Math.round(1.5 * value))),
  );
});

test('contrast 0 is the mean grey everywhere, saturation 0 is grey in every pixel', (t) => {
  const image = randomImage(5);
  const luma = (at: number) =>
    0.299 * (image[at] as number) + 0.587 * (image[at + 1] as number) + 0.114 * (image[at + 2] as number);
  let sum = 0;
  for (let at = 0; at < image.length; at += 3) sum += luma(at);
  const mean = Math.round(sum / (size * size));
  t.true(apply({ ...still, contrast: 0 }, image).every((value) => value === mean));
  const grey = apply({ ...still, saturation: 0 }, image);
  for (let at = 0; at < image.length; at += 3) {
    t.deepEqual([...grey.subarray(at, at + 3)], Array(3).fill(Math.round(luma(at))));
  }
});

test('draws belong to (seed, epoch, sample) and stay within what was asked for', (t) => {
  const augmentation = parseAugment('flip,shift:6,crop:0.5,colour:0.2');
  const draws = Array.from({ length: 400 }, (_, sample) => drawAugment(augmentation, 96, seed, 1, sample));
  t.deepEqual(drawAugment(augmentation, 96, seed, 1, 17), draws[17]);
  t.notDeepEqual(drawAugment(augmentation, 96, seed, 2, 17), draws[17]);
  t.notDeepEqual(drawAugment(augmentation, 96, seed + 1, 1, 17), draws[17]);
  const shifts = new Set(draws.map(({ shiftX }) => shiftX));
  t.deepEqual(
    [...shifts].sort((a, b) => a - b),
    Array.from({ length: 13 }, (_, i) => i - 6),
  );
  const flips = draws.filter(({ flip }) => flip).length;
  t.true(Math.abs(flips - 200) <= 40, `seed ${seed}: ${flips} of 400 flipped`);
  for (const { crop, brightness, contrast, saturation } of draws) {
    t.true(crop !== null && crop.x >= 0 && crop.y >= 0 && crop.x + crop.width <= 96 && crop.y + crop.height <= 96);
    for (const factor of [brightness, contrast, saturation]) t.true(factor >= 0.8 && factor < 1.2);
  }
});

test('turning one change off leaves the others as they were', (t) => {
  const all = drawAugment(parseAugment('flip,shift:6,colour:0.2'), 96, seed, 1, 5);
  const without = drawAugment(parseAugment('shift:6,colour:0.2'), 96, seed, 1, 5);
  t.deepEqual({ ...without, flip: all.flip }, all);
});

test('parseAugment reads every part', (t) => {
  t.deepEqual(parseAugment('none'), noAugmentation);
  t.deepEqual(parseAugment(''), noAugmentation);
  t.deepEqual(parseAugment('flip, shift:6:edge,crop:0.8,color:0.2'), {
    flip: true,
    shiftPixels: 6,
    shiftFill: 'edge',
    cropArea: 0.8,
    colour: 0.2,
  });
});

for (const text of [
  'rotate:10',
  'flip:1',
  'shift',
  'shift:',
  'shift:-1',
  'shift:1.5',
  'shift:2:blur',
  'shift:2:edge:x',
  'colour:0.2:x',
  'colour:1',
  'colour:nan',
  'crop:0',
  'crop:1.2',
  'flip,flip',
  'colour:.1,color:.1',
  'none,flip',
]) {
  test(`parseAugment refuses "${text}"`, (t) => {
    const error = t.throws(() => parseAugment(text), { instanceOf: UsageError });
    t.regex(error?.message ?? '', /^augment ".*": expected .*\nHint: /);
  });
}

test('only what repeats can be cached', (t) => {
  t.deepEqual(
    ['none', 'flip', 'shift:1', 'flip,colour:.1', 'crop:.9'].map((text) => variants(parseAugment(text))),
    [1, 2, null, null, null],
  );
  t.true(isCacheable(noAugmentation));
  t.false(isCacheable(parseAugment('flip')));
  t.is(variantOf({ ...still, flip: true }), 1);
  t.is(variantOf(still), 0);
});
