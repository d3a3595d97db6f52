/** @file Hue, saturation and value, each from 0 to 1, three values a pixel. */

/** HSV of RGB; hue and saturation of grey are 0. */
export function rgbToHsv(rgb: Float64Array): Float64Array {
  const hsv = new Float64Array(rgb.length);
  for (let i = 0; i < rgb.length; i += 3) {
    const red = rgb[i] as number;
    const green = rgb[i + 1] as number;
    const blue = rgb[i + 2] as number;
    const value = Math.max(red, green, blue);
    const range = value - Math.min(red, green, blue);
    hsv[i + 2] = value;
    if (range === 0) continue;
    const sixths =
      blue === value ? 4 + (red - green) / range : green === value ? 2 + (blue - red) / range : (green - blue) / range;
    hsv[i] = sixths < 0 ? sixths / 6 + 1 : sixths / 6;
    hsv[i + 1] = range / value;
  }
  return hsv;
}

/** RGB of HSV. */
export function hsvToRgb(hsv: Float64Array): Float64Array {
  const rgb = new Float64Array(hsv.length);
  for (let i = 0; i < hsv.length; i += 3) {
    const sixths = (hsv[i] as number) * 6;
    const saturation = hsv[i + 1] as number;
    const value = hsv[i + 2] as number;
    const sector = Math.floor(sixths);
    const share = sixths - sector;
    const low = value * (1 - saturation);
    const falling = value * (1 - share * saturation);
    const rising = value * (1 - (1 - share) * saturation);
    for (let c = 0; c < 3; c++) {
      // Each channel walks through the same six sectors, two apart.
      const place = (sector + 6 - 2 * c) % 6;
      rgb[i + c] = place === 0 || place === 5 ? value : place === 1 ? falling : place === 4 ? rising : low;
    }
  }
  return rgb;
}
