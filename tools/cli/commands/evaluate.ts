/** @file `edgeshift evaluate`: accuracy of a model file on a folder of images. */
import { preprocessingNamed } from '../../../models/onnx/preprocessing.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { productsNames } from '../../../runtime/plan/plan.ts';
import { schemeNames } from '../../../runtime/scheme/names.ts';
import { fits } from '../../../runtime/train/data/decode.ts';
import { evaluate } from '../../../runtime/train/evaluate-model.ts';
import { choiceFlag, type Flags, given, numberFlag, textFlag } from '../flags.ts';

export async function run([model = '']: readonly string[], flags: Flags): Promise<number> {
  if (flags.stream !== undefined) return (await import('./evaluate-stream.ts')).evaluateStreams(model, flags);
  const data = textFlag(flags, 'data');
  if (data === undefined) throw new UsageError('evaluate needs --data <folder>');
  const normalize = textFlag(flags, 'normalize');
  const result = await evaluate({
    model,
    data,
    ...given({
      delta: textFlag(flags, 'delta'),
      engine: choiceFlag(flags, 'engine', ['onnxruntime', 'edgeshift'] as const),
      scheme: choiceFlag(flags, 'scheme', schemeNames),
      blocks: numberFlag(flags, 'blocks'),
      batch: numberFlag(flags, 'batch') ?? 8,
      threads: numberFlag(flags, 'threads'),
      products: choiceFlag(flags, 'products', productsNames),
      limit: numberFlag(flags, 'limit'),
      imageSize: numberFlag(flags, 'imageSize'),
      fit: choiceFlag(flags, 'fit', fits),
      preprocessing: normalize === undefined ? undefined : preprocessingNamed(normalize),
    }),
    strict: flags.strict === true,
  });
  if (flags.json === true) {
    console.log(JSON.stringify(result));
    return 0;
  }
  const width = Math.max(...Object.keys(result.perClass).map((name) => name.length));
  const rows = Object.entries(result.perClass).map(([name, share]) => `  ${name.padEnd(width)}  ${percent(share)}`);
  const skipped = result.skipped > 0 ? `, ${result.skipped} files skipped` : '';
  console.log(
    `accuracy ${percent(result.accuracy)} (${result.correct} of ${result.samples}, ${result.engine}${skipped})`,
  );
  console.log(rows.join('\n'));
  return 0;
}

const percent = (share: number): string => `${(100 * share).toFixed(1).padStart(5)} %`;
