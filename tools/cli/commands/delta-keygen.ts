/** @file `edgeshift delta keygen`: a pair of ed25519 keys. */
import { shortKey, writeKeyPair } from '../../../runtime/delta/signature.ts';
import { type Flags, textFlag } from '../flags.ts';

export async function run(_: readonly string[], flags: Flags): Promise<number> {
  const out = textFlag(flags, 'out') ?? '';
  const { publicPath, publicKey } = await writeKeyPair(out);
  if (flags.json === true) console.log(JSON.stringify({ privateKey: out, publicKey: publicPath, key: publicKey }));
  else
    console.log(`${out}: private key, to sign with\n${publicPath}: public key ${shortKey(publicKey)}, to check with`);
  return 0;
}
