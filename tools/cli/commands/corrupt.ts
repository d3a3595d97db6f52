/** @file `edgeshift corrupt`: a data set as the corruptions of CIFAR-C and ImageNet-C leave it. */
import { corruptionNamed } from '../../../runtime/adapt/corruptions/corrupt.ts';
import { type CorruptedSet, corruptFolder, frostNote } from '../../../runtime/adapt/corruptions/corrupt-folder.ts';
import {
  type CorruptionName,
  corruptionNames,
  extraCorruptionNames,
} from '../../../runtime/adapt/corruptions/names.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { fits } from '../../../runtime/train/data/decode.ts';
import { choiceFlag, type Flags, given, listFlag, numberFlag, textFlag } from '../flags.ts';

export async function run(_: readonly string[], flags: Flags): Promise<number> {
  const [data, out] = [textFlag(flags, 'data'), textFlag(flags, 'out')];
  if (data === undefined || out === undefined) throw new UsageError('corrupt needs --data <folder> and --out <folder>');
  const corruptions = chosen(listFlag(flags, 'corruption') ?? ['all']);
  const result = await corruptFolder({
    data,
    out,
    corruptions,
    severities: (listFlag(flags, 'severity') ?? ['5']).map(severityOf),
    seed: wholeNumber(flags, 'seed') ?? 1,
    force: flags.force === true,
    strict: flags.strict === true,
    onSet: (set, millis) => console.error(`${setName(set)}: ${set.images} images in ${(millis / 1000).toFixed(1)} s`),
    ...given({
      imageSize: wholeNumber(flags, 'imageSize'),
      limit: wholeNumber(flags, 'limit'),
      split: choiceFlag(flags, 'split', ['train', 'test'] as const),
      fit: choiceFlag(flags, 'fit', fits),
    }),
  });
  for (const { path, reason } of result.skipped.slice(0, 10)) console.error(`skipped ${path}: ${reason}`);
  if (result.skipped.length > 10) console.error(`skipped ${result.skipped.length - 10} more files`);
  if (flags.json === true) {
    console.log(JSON.stringify({ out, ...result, skipped: result.skipped.length }));
    return 0;
  }
  const { images, imageSize, table } = result.sets.at(-1) as CorruptedSet;
  const kinds = corruptions.length === 1 ? 'one corruption' : `${corruptions.length} corruptions`;
  console.log(`${out}: ${images} images of ${imageSize} px under ${kinds}, strengths of ${table}`);
  if (corruptions.includes('frost')) console.log(`frost: ${frostNote}`);
  return 0;
}

const setName = ({ corruption, severity }: CorruptedSet): string => `${corruption} ${severity}`;

/** `all` and `extra` stand for the names of a set; each name once, in the order given. */
function chosen(words: readonly string[]): readonly CorruptionName[] {
  const names = words.flatMap((word): readonly CorruptionName[] => {
    if (word === 'all') return corruptionNames;
    return word === 'extra' ? extraCorruptionNames : [corruptionNamed(word)];
  });
  if (names.length === 0) throw new UsageError('--corruption must name at least one, or all, or extra');
  return [...new Set(names)];
}

function severityOf(word: string): number {
  if (/^[1-5]$/.test(word)) return Number(word);
  throw new UsageError(`--severity must be 1 to 5, or several of them such as 1,3,5: ${JSON.stringify(word)}`);
}

function wholeNumber(flags: Flags, key: string): number | undefined {
  const value = numberFlag(flags, key);
  if (value === undefined || Number.isSafeInteger(value)) return value;
  throw new UsageError(`${key} must be a whole number: ${value}`);
}
