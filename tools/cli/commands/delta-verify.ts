/** @file `edgeshift delta verify`: whether a delta is signed by a key that is trusted, and belongs to a base. */
import { readModelFile } from '../../../models/onnx/model-file.ts';
import { readAnyDelta, requireBase } from '../../../runtime/delta/delta.ts';
import { requireTrusted } from '../../../runtime/delta/key-policy.ts';
import { readPublicKeys, shortKey } from '../../../runtime/delta/signature.ts';
import { type Flags, textFlag } from '../flags.ts';

export async function run([path = '']: readonly string[], flags: Flags): Promise<number> {
  const trusted = await readPublicKeys(textFlag(flags, 'key') ?? '');
  const delta = await readAnyDelta(path);
  requireTrusted(path, delta.signer ?? null, trusted);
  const model = textFlag(flags, 'model');
  if (model !== undefined) requireBase(delta, await readModelFile(model));
  const { base, signer } = delta;
  if (flags.json === true) console.log(JSON.stringify({ delta: path, signer, base }));
  else console.log(`${path}: signed by ${shortKey(signer ?? '')}, for the base ${base}`);
  return 0;
}
