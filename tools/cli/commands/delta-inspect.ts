/** @file `edgeshift delta inspect`: what is in a delta. */
import { openModel } from '../../../models/onnx/open-model.ts';
import { readAnyDelta } from '../../../runtime/delta/delta.ts';
import { type DeltaDescription, describeDelta } from '../../../runtime/delta/describe.ts';
import { shortKey } from '../../../runtime/delta/signature.ts';
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import { type Flags, textFlag } from '../flags.ts';
import { textTable } from '../text-table.ts';

export async function run([path = '']: readonly string[], flags: Flags): Promise<number> {
  const delta = await readAnyDelta(path);
  const base = textFlag(flags, 'model');
  const model = base === undefined ? null : await openModel(base, { imageSize: delta.imageSize });
  const description = describeDelta(delta, model);
  if (flags.json === true) console.log(JSON.stringify({ delta: path, ...description }));
  else process.stdout.write(`${factsText(description)}\n${tensorsText(description)}`);
  return 0;
}

function factsText({
  base,
  imageSize,
  classes,
  head,
  drop,
  metaParts,
  notes,
  signer,
  ...rest
}: DeltaDescription): string {
  const inPlace = drop && drop.length > 0 ? ` in place of ${drop.join(', ')}` : '';
  return textTable([
    ['base', base],
    ['images', `${imageSize} px`],
    ['classes', `${classes.length}: ${classes.join(', ')}`],
    ['head', head === 'new' ? `new${inPlace}` : "the model's own"],
    ...(metaParts ? [['meta networks', `parts of ${metaParts.join(', ')} blocks`]] : []),
    ...Object.entries(notes),
    ['signature', signer === null ? 'none' : `by ${shortKey(signer)}, whole`],
    ['tensors', `${rest.tensors.length}, ${bytesText(rest.bytes)}`],
  ]);
}

function tensorsText({ tensors }: DeltaDescription): string {
  const [hasBlocks, hasBase] = [tensors.some(({ block }) => block), tensors.some((one) => one.differenceNorm !== null)];
  const row = (block: string, rest: readonly string[], moved: string): string[] => [
    ...(hasBlocks ? [block] : []),
    ...rest,
    ...(hasBase ? [moved] : []),
  ];
  const rows = tensors.map(({ tensor, block, shape, bytes, norm, differenceNorm }) =>
    row(
      block ?? '-',
      [tensor, shape.join(' x '), String(bytes), norm.toPrecision(4)],
      differenceNorm?.toPrecision(3) ?? '-',
    ),
  );
  const head = row('block', ['tensor', 'shape', 'bytes', 'L2'], 'L2 of the difference');
  const at = hasBlocks ? 1 : 0;
  return textTable([head, ...rows], [2 + at, 3 + at, 4 + at]);
}
