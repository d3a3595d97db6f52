/** @file Weather and light: snow, frost, fog, brightness. */
import { normals } from './draws.ts';
import { frostTexture, frostTextureCount } from './frost-textures.ts';
import { hsvToRgb, rgbToHsv } from './hsv.ts';
import { motionBlur } from './motion.ts';
import { type Operation, toByte, toBytes, unitValues } from './operation.ts';
import { plasma } from './plasma.ts';
import type { CorruptionParameters } from './tables.ts';
import { clippedZoom } from './zoom.ts';

/** Flakes drawn out by the wind, and their picture turned by half a turn, over a whitened image. */
export const snow: Operation<CorruptionParameters['snow']> = (image, side, parameters, random) => {
  const [mean, deviation, zoom, threshold, blurRadius, blurSigma, keep] = parameters;
  const layer = normals(side * side, random).map((value) => mean + deviation * value);
  const flakes = clippedZoom(layer, side, 1, zoom).map((value) => (value < threshold ? 0 : value));
  const blown = motionBlur(toBytes(flakes), side, 1, blurRadius, blurSigma, random.uniform(-135, -45));
  const result = new Uint8Array(image.length);
  for (let pixel = 0; pixel < blown.length; pixel++) {
    const at = 3 * pixel;
    const grey = luma(image[at] as number, image[at + 1] as number, image[at + 2] as number);
    const fallen = ((blown[pixel] as number) + (blown[blown.length - 1 - pixel] as number)) / 255;
    for (let c = 0; c < 3; c++) {
      const value = (image[at + c] as number) / 255;
      const whitened = keep * value + (1 - keep) * Math.max(value, grey * 1.5 + 0.5);
      result[at + c] = toByte(whitened + fallen);
    }
  }
  return result;
};

/** Luma of bytes, 0 to 1 (ITU-R BT.601). */
function luma(red: number, green: number, blue: number): number {
  return (0.299 * red + 0.587 * green + 0.114 * blue) / 255;
}

/** A random part of one of five textures, added. */
export const frost: Operation<CorruptionParameters['frost']> = (image, side, [imageWeight, frostWeight], random) => {
  const texture = frostTexture(random.integer(0, frostTextureCount - 1), side);
  const top = random.integer(0, texture.side - side - 1);
  const left = random.integer(0, texture.side - side - 1);
  const rowSize = 3 * side;
  return image.map((byte, i) => {
    const from = 3 * ((top + Math.trunc(i / rowSize)) * texture.side + left) + (i % rowSize);
    return Math.min(Math.trunc(imageWeight * byte + frostWeight * (texture.values[from] as number)), 255);
  });
};

/** A cloud, added before the image's own highest value is restored: a dark image stays dark. */
export const fog: Operation<CorruptionParameters['fog']> = (image, side, [amount, decay], random) => {
  // The source's maps have 32 and 256 px: the smallest power of two that covers its images.
  const mapSide = 2 ** Math.ceil(Math.log2(side));
  const map = plasma(mapSide, decay, random);
  const most = image.reduce((high, byte) => Math.max(high, byte), 0) / 255;
  return image.map((byte, i) => {
    const pixel = Math.trunc(i / 3);
    const cloud = map[Math.trunc(pixel / side) * mapSide + (pixel % side)] as number;
    return toByte(((byte / 255 + amount * cloud) * most) / (most + amount));
  });
};

/** Added to the value of HSV. */
export const brightness: Operation<number> = (image, _side, summand) => {
  const hsv = rgbToHsv(unitValues(image));
  for (let i = 2; i < hsv.length; i += 3) hsv[i] = Math.min((hsv[i] as number) + summand, 1);
  return toBytes(hsvToRgb(hsv));
};
