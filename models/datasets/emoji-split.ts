/**
 * @file The split of the emoji into ids to train on and ids held out.
 */
import { createHash } from 'node:crypto';
import { DataError } from '../../runtime/errors.ts';
import { type EmojiIcon, emojiClasses } from './emoji-catalog.ts';

export interface EmojiSplit {
  readonly train: readonly EmojiIcon[];
  readonly test: readonly EmojiIcon[];
}

/**
 * Splits the catalog into disjoint train and test ids, each class in proportion to its size.
 *
 * The order within a class comes from a hash of the code point, so it depends on nothing but the seed and the ids.
 *
 * @throws DataError where the catalog holds fewer ids than asked for.
 */
export function splitEmoji(
  catalog: readonly EmojiIcon[],
  trainIds: number,
  testIds: number,
  seed = 'edgeshift-emoji-1',
): EmojiSplit {
  if (trainIds + testIds > catalog.length) {
    throw new DataError(`Emoji: ${trainIds} + ${testIds} ids were asked for, the icon sets share ${catalog.length}.`, {
      trainIds,
      testIds,
      available: catalog.length,
    });
  }
  const classes = Object.keys(emojiClasses).map((className) =>
    catalog
      .filter((icon) => icon.className === className)
      .map((icon) => ({ icon, rank: createHash('sha256').update(`${seed}:${icon.hexcode}`).digest('hex') }))
      .sort((a, b) => (a.rank < b.rank ? -1 : 1))
      .map(({ icon }) => icon),
  );
  const trainShares = shares(
    classes.map((icons) => icons.length),
    trainIds,
  );
  const left = classes.map((icons, index) => icons.slice(trainShares[index]));
  const testShares = shares(
    left.map((icons) => icons.length),
    testIds,
  );
  return {
    train: classes.flatMap((icons, index) => icons.slice(0, trainShares[index])),
    test: left.flatMap((icons, index) => icons.slice(0, testShares[index])),
  };
}

/** Divides `total` in proportion to `sizes`, largest remainders first, so that the parts sum to it exactly. */
function shares(sizes: readonly number[], total: number): readonly number[] {
  const sum = sizes.reduce((a, b) => a + b, 0);
  const exact = sizes.map((size) => (size * total) / sum);
  const parts = exact.map(Math.floor);
  const byRemainder = exact
    .map((value, index) => ({ index, remainder: value - Math.floor(value) }))
    .sort((a, b) => b.remainder - a.remainder || a.index - b.index);
  const missing = total - parts.reduce((a, b) => a + b, 0);
  const rounded = new Set(byRemainder.slice(0, missing).map(({ index }) => index));
  return parts.map((part, index) => (rounded.has(index) ? part + 1 : part));
}
