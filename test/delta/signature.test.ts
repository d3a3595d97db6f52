/** Signed deltas: who signed them is known, and nothing in them can be changed. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type Delta, readAnyDelta, readDelta, signDelta, writeDelta } from '../../runtime/delta/delta.ts';
import { checkKeys, SIGNING_KEY, TRUSTED_KEYS } from '../../runtime/delta/key-policy.ts';
import { readTensors, writeTensors } from '../../runtime/delta/safetensors.ts';
import { isSignedBy, readPublicKeys, readSigner, writeKeyPair } from '../../runtime/delta/signature.ts';
import { DeltaError } from '../../runtime/errors.ts';
import { Random } from '../../runtime/train/random.ts';
import { normals } from '../support/draws.ts';

const seed = 77;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-signature-'));

const [lab, board] = [join(root, 'lab'), join(root, 'board')];
const [labKey, boardKey] = [(await writeKeyPair(lab)).publicKey, (await writeKeyPair(board)).publicKey];

test.after.always(() => rm(root, { recursive: true, force: true }));

const facts: Omit<Delta, 'tensors'> = {
  ...{ base: 'a'.repeat(64), imageSize: 8, classes: ['x', 'y'], drop: null, notes: { note: '"sha256":"0"' } },
  preprocessing: { scale: [1, 1, 1], bias: [0, 0, 0] },
};
const data = Float32Array.from(normals(new Random(seed), [6]));
const tensors = [{ name: 'w', shape: [2, 3], data, read: async () => data }];

/** Runs with keys set, as the environment would set them. */
async function withKeys<T>(
  keys: { readonly trusted?: string; readonly signing?: string },
  run: () => Promise<T>,
): Promise<T> {
  if (keys.trusted !== undefined) process.env[TRUSTED_KEYS] = keys.trusted;
  if (keys.signing !== undefined) process.env[SIGNING_KEY] = keys.signing;
  try {
    return await run();
  } finally {
    delete process.env[TRUSTED_KEYS];
    delete process.env[SIGNING_KEY];
  }
}

async function written(name: string, signing?: string): Promise<string> {
  const path = join(root, name);
  await withKeys(signing === undefined ? {} : { signing }, () => writeDelta(path, facts, tensors));
  return path;
}

test.serial('a delta is signed where a key is set, the same bytes each time, and read by anyone', async (t) => {
  const path = await written('signed.safetensors', lab);
  const again = await written('again.safetensors', lab);
  t.deepEqual(await readFile(path), await readFile(again));
  const delta = await readDelta(path);
  t.is(delta.signer, labKey);
  t.deepEqual(delta.tensors.get('w')?.data, data);
  t.deepEqual(delta.notes, facts.notes);
  t.is((await readDelta(await written('plain.safetensors'))).signer, null);
});

test.serial('signing a file gives what writing it with the key gives', async (t) => {
  const [plain, direct] = [await written('later.safetensors'), await written('direct.safetensors', lab)];
  await signDelta(plain, plain, await readSigner(lab));
  t.deepEqual(await readFile(plain), await readFile(direct));
  await signDelta(plain, plain, await readSigner(board));
  t.is((await readDelta(plain)).signer, boardKey, 'a second signature takes the place of the first');
});

test.serial('with a public key set, only what it signed is read', async (t) => {
  const [own, foreign, plain] = [
    await written('own.safetensors', lab),
    await written('foreign.safetensors', board),
    await written('none.safetensors'),
  ];
  const trusted = `${lab}.pub`;
  await withKeys({ trusted }, async () => {
    t.is((await readDelta(own)).signer, labKey);
    const expected = labKey.slice(0, 16);
    await t.throwsAsync(readDelta(plain), {
      instanceOf: DeltaError,
      message: new RegExp(`is refused: expected a signature by ${expected}, found none\nHint: `),
    });
    await t.throwsAsync(readDelta(foreign), { message: new RegExp(`found one by ${boardKey.slice(0, 16)}`) });
    t.is((await readAnyDelta(foreign)).signer, boardKey, 'looking at it is no harm');
  });
  const both = join(root, 'both.pub');
  await writeFile(
    both,
    `the lab\n${await readFile(trusted, 'utf8')}\nthe board\n${await readFile(`${board}.pub`, 'utf8')}`,
  );
  await withKeys({ trusted: both }, async () => {
    for (const path of [own, foreign]) await t.notThrowsAsync(readDelta(path));
    await t.throwsAsync(readDelta(plain), { message: /found none/ });
  });
});

test.serial('any changed bit of a signed file is noticed, also by who knows no key', async (t) => {
  const path = await written('bits.safetensors', lab);
  const bytes = await readFile(path);
  const random = new Random(seed, 1);
  const changed = join(root, 'changed.safetensors');
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7));
    await writeFile(changed, damaged);
    await t.throwsAsync(readAnyDelta(changed), { instanceOf: DeltaError }, `seed ${seed}, byte ${at}`);
  }
});

test.serial('a file that was changed with its checksum made right is refused', async (t) => {
  const path = await written('forged.safetensors', lab);
  const { metadata } = await readTensors(path);
  const text = (await readFile(path)).toString('latin1');
  const signature = /"signature":"([0-9a-f]{128})"/.exec(text)?.[1] ?? '';
  t.is(signature.length, 128);
  // Another program's file: right checksum, the signer's name, and the signature of other content.
  const borrowed = { publicKey: labKey, sign: () => signature };
  for (const [what, forgery, values] of [
    ['a value', metadata, data.map((value) => 2 * value)],
    ['a note', { ...metadata, notes: '{}' }, data],
    ['the base', { ...metadata, base_sha256: 'b'.repeat(64) }, data],
  ] as const) {
    await writeTensors(path, [{ name: 'w', shape: [2, 3], read: async () => values }], forgery, borrowed);
    await t.throwsAsync(readAnyDelta(path), { message: /not what was signed: its signature does not fit/ }, what);
  }
  await writeTensors(path, tensors, metadata, borrowed);
  t.is((await readAnyDelta(path)).signer, labKey, 'the signature was good for what it was made for');
  const renamed = { publicKey: boardKey, sign: () => signature };
  await writeTensors(path, tensors, metadata, renamed);
  await t.throwsAsync(readAnyDelta(path), { message: /its signature does not fit/ }, 'another signer named');
});

test('a pair of keys: the private one for its owner alone, neither ever overwritten', async (t) => {
  const path = join(root, 'pair');
  const { publicPath, publicKey } = await writeKeyPair(path);
  t.is(publicPath, `${path}.pub`);
  t.is((await stat(path)).mode & 0o777, 0o600);
  t.regex(await readFile(path, 'utf8'), /^-----BEGIN PRIVATE KEY-----/);
  t.deepEqual(await readPublicKeys(publicPath), [publicKey]);
  t.is((await readSigner(path)).publicKey, publicKey);
  const before = await readFile(path);
  await t.throwsAsync(writeKeyPair(path), {
    instanceOf: DeltaError,
    message: /is there already, and a key is never overwritten/,
  });
  t.deepEqual(await readFile(path), before);
  const half = join(root, 'half');
  await writeFile(`${half}.pub`, 'mine');
  await t.throwsAsync(writeKeyPair(half), { message: /half\.pub" is there already/ });
  await t.throwsAsync(stat(half), { code: 'ENOENT' }, 'no private key without its public one');
});

test('files that are no keys are named', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const [secret, open] = [join(root, 'rsa'), join(root, 'rsa.pub')];
  await writeFile(secret, rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await writeFile(open, rsa.publicKey.export({ type: 'spki', format: 'pem' }));
  await t.throwsAsync(readSigner(secret), {
    instanceOf: DeltaError,
    message: /expected an ed25519 private key .* found one of rsa/,
  });
  await t.throwsAsync(readPublicKeys(open), { message: /expected an ed25519 public key .* found one of rsa/ });
  await t.throwsAsync(readPublicKeys(lab), {
    message: /expected an ed25519 public key .* found a private key\nHint: /,
  });
  await t.throwsAsync(readSigner(`${lab}.pub`), { message: /expected an ed25519 private key .* found something else/ });
  await t.throwsAsync(readSigner(join(root, 'nowhere')), { message: /cannot read the key ".*nowhere": ENOENT/ });
  t.false(isSignedBy('short', '0'.repeat(64), '0'.repeat(128)));
  t.false(isSignedBy(labKey, '0'.repeat(64), '0'.repeat(127)));
  t.false(isSignedBy('f'.repeat(64), '0'.repeat(64), '0'.repeat(128)));
});

test.serial('keys that are set and cannot be read are found before there is work to lose', async (t) => {
  await t.notThrowsAsync(checkKeys());
  await withKeys({ signing: join(root, 'gone') }, () => t.throwsAsync(checkKeys(), { message: /cannot read the key/ }));
  await withKeys({ trusted: lab }, () => t.throwsAsync(checkKeys(), { message: /found a private key/ }));
  await withKeys({ trusted: `${lab}.pub`, signing: lab }, () => t.notThrowsAsync(checkKeys()));
});

test.serial('a key that is named by nothing is a missing key, not no policy', async (t) => {
  const path = await written('unsigned.safetensors');
  await withKeys({ trusted: '' }, () => t.throwsAsync(() => readDelta(path), { instanceOf: DeltaError }));
});

test.serial('metadata that no delta has are refused, whole as the file may be', async (t) => {
  const { metadata } = await readTensors(await written('facts.safetensors'));
  const path = join(root, 'odd.safetensors');
  for (const [name, value] of Object.entries({
    ...{ image_size: '1e9', classes: '7', preprocessing: 'null', drop: '5', meta_parts: '["x"]', notes: '[1]' },
  })) {
    const { sha256: _, ...facts } = metadata;
    await writeTensors(path, tensors, { ...facts, [name]: value });
    await t.throwsAsync(() => readAnyDelta(path), { instanceOf: DeltaError, message: /not what a delta has/ }, name);
  }
});
