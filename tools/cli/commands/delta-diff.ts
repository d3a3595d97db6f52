/** @file `edgeshift delta diff`: in what two deltas differ. */
import { openModel } from '../../../models/onnx/open-model.ts';
import { readAnyDelta } from '../../../runtime/delta/delta.ts';
import { compareDeltas } from '../../../runtime/delta/describe.ts';
import { type Flags, textFlag } from '../flags.ts';
import { textTable } from '../text-table.ts';

export async function run([a = '', b = '']: readonly string[], flags: Flags): Promise<number> {
  const [one, other] = [await readAnyDelta(a), await readAnyDelta(b)];
  const base = textFlag(flags, 'model');
  const model = base === undefined ? null : await openModel(base, { imageSize: one.imageSize });
  const { facts, tensors, differenceNorm, cosine } = compareDeltas(one, other, model);
  if (flags.json === true) {
    console.log(JSON.stringify({ a, b, facts, tensors, differenceNorm, cosine }));
    return 0;
  }
  if (facts.length > 0) {
    const rows = facts.map(({ fact, a: left, b: right }) => [fact, left, right]);
    process.stdout.write(`${textTable([['', a, b], ...rows])}\n`);
  }
  const text = (value: number | null, digits: number): string => value?.toPrecision(digits) ?? '-';
  const rows = tensors.map((tensor) => [
    tensor.tensor,
    tensor.in === 'both' ? 'both' : `only ${tensor.in}`,
    text(tensor.differenceNorm, 3),
    text(tensor.cosine, 3),
  ]);
  process.stdout.write(textTable([['tensor', 'in', 'L2 of a - b', 'cosine'], ...rows], [2, 3]));
  console.log(`\n${tensors.length} tensors: L2 of a - b ${text(differenceNorm, 3)}, cosine ${text(cosine, 3)}`);
  return 0;
}
