/**
 * @file Who wrote a file: ed25519 signatures (RFC 8032) over the sha256 of its content, and the keys for them as PEM files.
 *
 * What is signed is the line below and the digest's 64 hex digits, so that a signature made for something else never fits.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import { DeltaError } from '../errors.ts';
import { diskError } from './atomic-file.ts';

const DOMAIN = 'edgeshift-signature-1\n';

/** Digits of a public key (32 bytes) and of a signature (64 bytes). */
export const KEY_DIGITS = 64;
export const SIGNATURE_DIGITS = 128;

/** Makes signatures with one private key. */
export interface Signer {
  /** The public key that goes with it, 64 hex digits. */
  readonly publicKey: string;
  /** The signature of a sha256 (64 hex digits), 128 hex digits. */
  sign(digest: string): string;
}

/** Whether `signature` is that of `publicKey`'s owner over a digest; anything malformed is not. */
export function isSignedBy(publicKey: string, digest: string, signature: string): boolean {
  if (!isHex(publicKey, KEY_DIGITS) || !isHex(signature, SIGNATURE_DIGITS)) return false;
  return verify(null, messageOf(digest), publicKeyOf(publicKey), Buffer.from(signature, 'hex'));
}

/** The first 16 digits, for people. */
export const shortKey = (publicKey: string): string => publicKey.slice(0, 16);

/** A private key from a PEM file. @throws DeltaError if it is missing or no ed25519 private key */
export async function readSigner(path: string): Promise<Signer> {
  const key = parseKey(path, await readKey(path), 'private key', createPrivateKey);
  const publicKey = digitsOf(createPublicKey(key));
  return { publicKey, sign: (digest) => sign(null, messageOf(digest), key).toString('hex') };
}

/** The public keys in a PEM file, one or several. @throws DeltaError if it is missing or holds anything else */
export async function readPublicKeys(path: string): Promise<readonly string[]> {
  const text = await readKey(path);
  const blocks = text.match(/-----BEGIN [^-]+-----[^-]+-----END [^-]+-----/g) ?? [text];
  return blocks.map((block) => {
    // Node would derive the public key; a private one in this place has been copied to where it does not belong.
    if (block.includes('PRIVATE KEY')) throw keyError(path, 'public key', 'a private key');
    return digitsOf(parseKey(path, block, 'public key', createPublicKey));
  });
}

/**
 * Writes a new pair: the private key to `path`, readable by its owner alone, the public one to `<path>.pub`.
 * @throws DeltaError if either is there already, DataError if the disk refuses
 */
export async function writeKeyPair(path: string): Promise<{ readonly publicPath: string; readonly publicKey: string }> {
  const pair = generateKeyPairSync('ed25519');
  const publicPath = `${path}.pub`;
  await writeNew(path, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
  try {
    await writeNew(publicPath, pair.publicKey.export({ type: 'spki', format: 'pem' }), 0o644);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return { publicPath, publicKey: digitsOf(pair.publicKey) };
}

async function writeNew(path: string, text: string | Buffer, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EEXIST') throw diskError(path, cause);
    throw new DeltaError(`"${path}" is there already, and a key is never overwritten\nHint: choose another name`, {
      path,
    });
  });
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (cause) {
    await rm(path, { force: true });
    throw diskError(path, cause);
  } finally {
    await file.close();
  }
}

function readKey(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: Error) => {
    throw new DeltaError(`cannot read the key "${path}": ${cause.message}`, { path }, { cause });
  });
}

function parseKey(path: string, text: string, what: string, create: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = create(text);
  } catch (cause) {
    throw keyError(path, what, 'something else', cause);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw keyError(path, what, `one of ${key.asymmetricKeyType}`);
  return key;
}

const keyError = (path: string, what: string, found: string, cause?: unknown): DeltaError =>
  new DeltaError(
    `"${path}": expected an ed25519 ${what} in PEM, without a passphrase, found ${found}\n` +
      'Hint: edgeshift delta keygen --out <file> writes a pair: <file>, and <file>.pub to check with',
    { path },
    { cause },
  );

const messageOf = (digest: string): Buffer => Buffer.from(DOMAIN + digest);

const isHex = (text: unknown, digits: number): boolean =>
  typeof text === 'string' && text.length === digits && /^[0-9a-f]+$/.test(text);

const publicKeyOf = (digits: string): KeyObject => {
  const x = Buffer.from(digits, 'hex').toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
};

const digitsOf = (key: KeyObject): string =>
  Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url').toString('hex');
