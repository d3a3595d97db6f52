/**
 * @file The emoji task as data: which emoji all icon sets draw and their classes.
 */
import { createRequire } from 'node:module';
import { z } from 'zod';
import { DataError } from '../../runtime/errors.ts';

/** Drawing styles the model is trained on. */
export const sourceStyles = ['noto', 'twemoji', 'fluent-emoji-flat', 'emojione'] as const;
/** Every style, the two that training never sees last. */
export const emojiStyles = [...sourceStyles, 'noto-v1', 'openmoji'] as const;
export type EmojiStyle = (typeof emojiStyles)[number];

/**
 * Classes, each a union of emojibase subgroups.
 *
 * Left out are symbols, flags and family groups, subgroups with too few emoji in all styles, and cat and monkey faces,
 * which belong to two classes.
 */
export const emojiClasses: Readonly<Record<string, readonly string[]>> = {
  body: [
    'hand-fingers-open',
    'hand-fingers-partial',
    'hand-single-finger',
    'hand-fingers-closed',
    'hands',
    'hand-prop',
    'body-parts',
  ],
  clock: ['time'],
  clothing: ['clothing'],
  creature: ['animal-bird', 'animal-amphibian', 'animal-reptile', 'animal-marine', 'animal-bug'],
  drink: ['drink', 'dishware'],
  face: [
    'face-smiling',
    'face-affection',
    'face-tongue',
    'face-hand',
    'face-neutral-skeptical',
    'face-sleepy',
    'face-unwell',
    'face-hat',
    'face-glasses',
    'face-concerned',
    'face-negative',
    'face-costume',
  ],
  game: ['sport', 'game', 'award-medal'],
  mammal: ['animal-mammal'],
  meal: ['food-prepared', 'food-asian', 'food-sweet'],
  person: [
    'person',
    'person-gesture',
    'person-role',
    'person-fantasy',
    'person-activity',
    'person-sport',
    'person-resting',
  ],
  place: ['place-building', 'place-religious', 'place-other'],
  plant: ['plant-flower', 'plant-other'],
  produce: ['food-fruit', 'food-vegetable'],
  stationery: ['book-paper', 'mail', 'writing', 'office'],
  vehicle: ['transport-ground', 'transport-water', 'transport-air'],
  weather: ['sky-weather'],
};

const iconSetSchema = z.object({
  width: z.number().default(16),
  height: z.number().default(16),
  icons: z.record(
    z.string(),
    z.object({
      body: z.string(),
      width: z.number().optional(),
      height: z.number().optional(),
      left: z.number().optional(),
      top: z.number().optional(),
    }),
  ),
  aliases: z.record(z.string(), z.looseObject({ parent: z.string() })).default({}),
});
const charsSchema = z.record(z.string(), z.string());
const emojibaseSchema = z.array(
  z.object({ label: z.string(), hexcode: z.string(), subgroup: z.number().optional(), group: z.number().optional() }),
);
const groupsSchema = z.object({ subgroups: z.record(z.string(), z.string()) });

type IconSet = z.infer<typeof iconSetSchema>;

export interface EmojiIcon {
  /** Code points as emojibase writes them, like `1F600`. */
  readonly hexcode: string;
  readonly label: string;
  readonly className: string;
  /** One SVG document per style. */
  readonly svg: Readonly<Record<EmojiStyle, string>>;
}

/**
 * Loads every emoji of the classes that all six styles draw, in emojibase's order.
 *
 * Emoji are matched by code point. Two sets (emojione, noto-v1) come without code points; there the icon is found by the
 * names the other sets give the same emoji, by their aliases, and by emojibase's label. No icon serves two emoji.
 *
 * @throws DataError where a package is not installed.
 */
export function loadEmojiCatalog(): readonly EmojiIcon[] {
  const sets = emojiStyles.map((style) => {
    const set = load(`@iconify-json/${style}/icons.json`, iconSetSchema);
    const chars = load(`@iconify-json/${style}/chars.json`, charsSchema);
    const byCode = new Map(Object.entries(chars).map(([code, name]) => [normalizedCode(code), name]));
    return { style, set, byCode, taken: new Set<string>() };
  });
  const names = knownNames(sets);
  const classOf = subgroupClasses();
  const { subgroups } = load('emojibase-data/meta/groups.json', groupsSchema);

  const catalog: EmojiIcon[] = [];
  for (const emoji of load('emojibase-data/en/data.json', emojibaseSchema)) {
    const className = classOf.get(subgroups[String(emoji.subgroup)] ?? '');
    if (className === undefined) continue;
    const code = normalizedCode(emoji.hexcode);
    const svg: Partial<Record<EmojiStyle, string>> = {};
    for (const { style, set, byCode, taken } of sets) {
      const candidates = byCode.size > 0 ? [byCode.get(code)] : [...(names.get(code) ?? []), slug(emoji.label)];
      const icon = candidates.map((name) => resolveIcon(set, name)).find((name) => name !== null && !taken.has(name));
      if (!icon) continue;
      taken.add(icon);
      svg[style] = toSvg(set, icon);
    }
    if (!hasEveryStyle(svg)) continue;
    catalog.push({ hexcode: emoji.hexcode, label: emoji.label, className, svg });
  }
  return catalog;
}

interface LoadedSet {
  readonly set: IconSet;
  readonly byCode: ReadonlyMap<string, string>;
}

/** Names and aliases each code point has in the sets that list code points. */
function knownNames(sets: readonly LoadedSet[]): ReadonlyMap<string, ReadonlySet<string>> {
  const names = new Map<string, Set<string>>();
  for (const { set, byCode } of sets) {
    const aliases = new Map<string, string[]>();
    for (const [alias, { parent }] of Object.entries(set.aliases)) {
      aliases.set(parent, [...(aliases.get(parent) ?? []), alias]);
    }
    for (const [code, name] of byCode) {
      const known = names.get(code) ?? new Set();
      for (const each of [name, ...(aliases.get(name) ?? [])]) known.add(each);
      names.set(code, known);
    }
  }
  return names;
}

/** The icon behind a name or alias, or null; an alias that mirrors or turns its parent is another drawing. */
function resolveIcon(set: IconSet, name: string | undefined): string | null {
  if (name === undefined) return null;
  if (Object.hasOwn(set.icons, name)) return name;
  const alias = Object.hasOwn(set.aliases, name) ? set.aliases[name] : undefined;
  const plain = alias !== undefined && Object.keys(alias).length === 1;
  return plain && Object.hasOwn(set.icons, alias.parent) ? alias.parent : null;
}

function toSvg(set: IconSet, name: string): string {
  const icon = set.icons[name];
  const { width = set.width, height = set.height, left = 0, top = 0, body = '' } = icon ?? {};
  const viewBox = `${left} ${top} ${width} ${height}`;
  return (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ' +
    `width="${width}" height="${height}" viewBox="${viewBox}">${body}</svg>`
  );
}

function hasEveryStyle(svg: Partial<Record<EmojiStyle, string>>): svg is Record<EmojiStyle, string> {
  return emojiStyles.every((style) => svg[style] !== undefined);
}

function subgroupClasses(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(emojiClasses).flatMap(([className, subgroups]) =>
      subgroups.map((name) => [name, className] as const),
    ),
  );
}

/** Lower case without the variation selector, which the sets write or leave out as they like. */
function normalizedCode(code: string): string {
  const points = code.toLowerCase().split('-');
  return points.filter((point) => point !== 'fe0f').join('-');
}

function slug(label: string): string {
  return label
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}

function load<T>(specifier: string, schema: z.ZodType<T>): T {
  const require = createRequire(import.meta.url);
  try {
    return schema.parse(require(specifier));
  } catch (cause) {
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/');
    throw new DataError(
      `Emoji: "${specifier}" cannot be loaded.\nHint: npm install --save-dev ${name}`,
      { package: name },
      { cause },
    );
  }
}
