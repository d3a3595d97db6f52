/** @file The extra set's colours; its noise, blur and splashes stand beside their kin. */
import { hsvToRgb, rgbToHsv } from './hsv.ts';
import { type Operation, toBytes, unitValues } from './operation.ts';
import type { CorruptionParameters } from './tables.ts';

/** HSV saturation times a factor, plus a summand. */
export const saturate: Operation<CorruptionParameters['saturate']> = (image, _side, [factor, summand]) => {
  const hsv = rgbToHsv(unitValues(image));
  for (let i = 1; i < hsv.length; i += 3) hsv[i] = Math.min((hsv[i] as number) * factor + summand, 1);
  return toBytes(hsvToRgb(hsv));
};
