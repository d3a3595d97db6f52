/** @file `edgeshift delta transfer`: what was learnt, on a new version of its base. */
import { openModel } from '../../../models/onnx/open-model.ts';
import { readDelta, sourcesOf, writeDelta } from '../../../runtime/delta/delta.ts';
import { type Transfer, transferDelta } from '../../../runtime/delta/transfer.ts';
import { type Flags, textFlag } from '../flags.ts';
import { textTable } from '../text-table.ts';

export async function run(_: readonly string[], flags: Flags): Promise<number> {
  const [from = '', to = ''] = [textFlag(flags, 'from'), textFlag(flags, 'to')];
  const [path = '', out = ''] = [textFlag(flags, 'delta'), textFlag(flags, 'out')];
  const delta = await readDelta(path);
  const { imageSize } = delta;
  const transfer = transferDelta(delta, await openModel(from, { imageSize }), await openModel(to, { imageSize }));
  await writeDelta(out, transfer.delta, sourcesOf(transfer.delta));
  const { carried, left } = transfer;
  if (flags.json === true) console.log(JSON.stringify({ delta: out, base: transfer.delta.base, carried, left }));
  else process.stdout.write(`${out}: ${path} carried to ${to}\n${transferText(transfer)}`);
  return 0;
}

function transferText({ carried, left }: Transfer): string {
  const ways = { name: 'by name', place: 'by place', own: 'as they are' } as const;
  const counts = Object.entries(ways).flatMap(([way, text]) => {
    const count = carried.filter(({ by }) => by === way).length;
    return count > 0 ? [`${count} ${text}`] : [];
  });
  const likenesses = carried.flatMap(({ likeness, shape }) =>
    likeness === null || shape.length < 2 ? [] : [likeness],
  );
  const alike =
    likenesses.length > 0
      ? `weights of both bases alike by a cosine of ${Math.min(...likenesses).toFixed(3)} or more\n`
      : '';
  const summary = `carried ${carried.length} of ${carried.length + left.length} tensors: ${counts.join(', ')}\n${alike}`;
  if (left.length === 0) return summary;
  return `${summary}left as the new base has them:\n${textTable(left.map(({ tensor, reason }) => [`  ${tensor}`, reason]))}`;
}
