/**
 * @file Which deltas this process applies and how it signs its own, as the environment says; threads inherit it.
 *
 * `EDGESHIFT_DELTA_KEY` names a file of public keys: deltas that none of them signed are refused. `EDGESHIFT_SIGN_KEY` names a
 * private key: deltas that are written are signed with it.
 */
import { DeltaError } from '../errors.ts';
import { readPublicKeys, readSigner, type Signer, shortKey } from './signature.ts';

export const TRUSTED_KEYS = 'EDGESHIFT_DELTA_KEY';
export const SIGNING_KEY = 'EDGESHIFT_SIGN_KEY';

/** Public keys that deltas must be signed with; null if none is set. @throws DeltaError if the file holds no such keys */
export async function trustedKeys(): Promise<readonly string[] | null> {
  const path = process.env[TRUSTED_KEYS];
  // An empty name is a key that is missing, not a policy that is off.
  return path === undefined ? null : readPublicKeys(path);
}

/** What signs the deltas that are written; null if no key is set. @throws DeltaError if the file holds no such key */
export async function ownSigner(): Promise<Signer | null> {
  const path = process.env[SIGNING_KEY];
  return path ? readSigner(path) : null;
}

/** Finds unreadable keys before there is anything to lose. @throws DeltaError */
export async function checkKeys(): Promise<void> {
  await trustedKeys();
  await ownSigner();
}

/** @param signer whose signature the file has, null if none. @throws DeltaError if that is none of those trusted */
export function requireTrusted(path: string, signer: string | null, trusted: readonly string[]): void {
  if (signer !== null && trusted.includes(signer)) return;
  const expected = trusted.map(shortKey).join(' or ');
  throw new DeltaError(
    `"${path}" is refused: expected a signature by ${expected}, ` +
      `found ${signer === null ? 'none' : `one by ${shortKey(signer)}`}\n` +
      'Hint: sign it with `edgeshift delta sign`, or trust its key: add its public key to the file that ' +
      `--delta-key or ${TRUSTED_KEYS} names`,
    { path, expected: trusted, actual: signer },
  );
}
