/** @file Pieces of SVG text. */

/** `<name key="value">content</name>`; without content the element closes itself. Numbers are cut to a tenth of a pixel. */
export function element(name: string, attributes: Readonly<Record<string, string | number>>, content = ''): string {
  const text = Object.entries(attributes).map(([key, value]) => ` ${key}="${attributeText(value)}"`);
  return content === '' ? `<${name}${text.join('')}/>` : `<${name}${text.join('')}>${content}</${name}>`;
}

/** Text as an element's content or attribute. */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const attributeText = (value: string | number): string => (typeof value === 'number' ? decimal(value) : escaped(value));

/** A coordinate, a tenth of a pixel exact. */
export function decimal(value: number): string {
  return String(Math.round(10 * value) / 10);
}

/** Multiples of 1, 2 or 5 times a power of ten from 0, about `count` steps; the last is the first not below `most`. */
export function niceTicks(most: number, count: number): readonly number[] {
  const raw = most / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw * (1 - 1e-9)) ?? 10);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, at) => at * step);
}
