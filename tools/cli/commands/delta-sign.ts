/** @file `edgeshift delta sign`: a delta with a signature. */
import { signDelta } from '../../../runtime/delta/delta.ts';
import { readSigner, shortKey } from '../../../runtime/delta/signature.ts';
import { type Flags, textFlag } from '../flags.ts';

export async function run([path = '']: readonly string[], flags: Flags): Promise<number> {
  const signer = await readSigner(textFlag(flags, 'key') ?? '');
  const out = textFlag(flags, 'out') ?? path;
  await signDelta(path, out, signer);
  if (flags.json === true) console.log(JSON.stringify({ delta: out, signer: signer.publicKey }));
  else console.log(`${out}: signed by ${shortKey(signer.publicKey)}`);
  return 0;
}
