/** `edgeshift delta`: what each of its commands says, and that a key keeps what nobody signed away from every command. */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { readDelta, sourcesOf, writeDelta } from '../../runtime/delta/delta.ts';
import { deltaOn, opened, retrained, stack } from '../support/deltas.ts';
import { device, edgeshift, lastJson } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';

const seed = 14;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-delta-cli-'));
const at = (name: string): string => join(root, name);
const classes = ['class-0', 'class-1', 'class-2'];
const old = await opened(root, 'old.onnx', stack({ classes: 3 }));
const renewed = await opened(root, 'new.onnx', retrained(stack({ classes: 3 }), seed));
const data = await toyImages(at('images'), { classes: 3, perClass: 6 });
const [one, other] = [at('one.safetensors'), at('other.safetensors')];
for (const [i, path] of [one, other].entries()) {
  const delta = deltaOn(old, seed + i, { classes, learns: ({ name }) => /^(layer2|logits)/.test(name) });
  await writeDelta(path, delta, sourcesOf(delta));
}
const [key, pub] = [at('key'), at('key.pub')];
const made = await edgeshift(['delta', 'keygen', '--out', key]);
const signed = at('signed.safetensors');
const signing = await edgeshift(['delta', 'sign', one, '--key', key, '--out', signed]);
test.after.always(() => rm(root, { recursive: true, force: true }));

/** Runs `edgeshift delta ...` that must succeed. */
const delta = async (...args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await edgeshift(['delta', ...args]);
  if (code !== 0) throw new Error(`delta ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
};

test('inspect says what is in a delta, with the base also where and how far it has moved', async (t) => {
  const text = await delta('inspect', one, '--model', old.file.path);
  t.regex(text, new RegExp(`^base +${old.file.sha256}$`, 'm'));
  t.regex(text, /^classes +3: class-0, class-1, class-2$/m);
  t.regex(text, /^signature +none$/m);
  t.regex(text, /^block +tensor +shape +bytes +L2 +L2 of the difference$/m);
  t.regex(text, /^\S.* +layer2\.weight +12 x 8 x 3 x 3 +3456 +\d+\.\d+ +\d+\.\d+$/m);
  t.notRegex(await delta('inspect', one), /L2 of the difference|block/);
  const json = JSON.parse(await delta('inspect', signed, '--json'));
  t.like(json, { base: old.file.sha256, head: 'own', bytes: 4 * (864 + 48 + 39), imageSize: 16 });
  t.is(json.tensors.length, 7);
  t.regex(json.signer, /^[0-9a-f]{64}$/);
});

test('diff says in what facts and tensors two deltas differ', async (t) => {
  const text = await delta('diff', one, other, '--model', old.file.path);
  t.regex(text, /^notes\.seed +"\\?"?14/m);
  t.regex(text, /^7 tensors: L2 of a - b \d+\.\d+, cosine -?0\.\d+$/m);
  const same = JSON.parse(await delta('diff', one, one, '--json'));
  t.deepEqual(same.facts, []);
  t.is(same.differenceNorm, 0);
  t.true(same.tensors.every((tensor: { cosine: number }) => Math.abs(tensor.cosine - 1) < 1e-9));
});

test('transfer writes a delta for the new base, and says what it could not carry', async (t) => {
  const out = at('carried.safetensors');
  const args = ['transfer', '--from', old.file.path, '--to', renewed.file.path, '--delta', one];
  t.regex(
    await delta(...args, '--out', out),
    /^carried 7 of 7 tensors: 7 by name\nweights of both bases alike by a cosine of 0\.9/m,
  );
  t.is((await readDelta(out)).base, renewed.file.sha256);
  const accuracy = await edgeshift(['evaluate', renewed.file.path, '--delta', out, '--data', data, '--json']);
  t.is(accuracy.code, 0, accuracy.stderr);
  const { file } = await opened(root, 'four.onnx', retrained(stack({ classes: 4 }), seed));
  const result = JSON.parse(
    await delta('transfer', '--from', old.file.path, '--to', file.path, '--delta', one, '--out', out, '--json'),
  );
  t.deepEqual(
    result.left.map(({ tensor }: { tensor: string }) => tensor),
    ['logits.weight', 'logits.bias'],
  );
  const wrong = await edgeshift([
    'delta',
    'transfer',
    '--from',
    file.path,
    '--to',
    old.file.path,
    '--delta',
    one,
    '--out',
    at('no'),
  ]);
  t.is(wrong.code, 1);
  t.regex(wrong.stderr, /this delta was learnt on another model/);
  await t.throwsAsync(stat(at('no')), { code: 'ENOENT' });
});

test('merge joins deltas by weights, by coefficients, or by labelled images', async (t) => {
  const out = at('merged.safetensors');
  const args = [one, other, '--model', old.file.path, '--out', out];
  t.regex(await delta('merge', ...args, '--weights', '1,3'), /^every block +0\.250 +0\.750$/m);
  t.regex(await delta('merge', ...args, '--coefficients', '1,0.5'), /arithmetic\n[\s\S]*every block +1\.000 +0\.500/);
  const learnt = JSON.parse(await delta('merge', ...args, '--data', data, '--threads', '1', '--json'));
  t.is(learnt.how, 'learnt');
  t.true(learnt.after.loss < learnt.before.loss);
  t.true(Object.values(learnt.coefficients).every((row) => (row as number[]).length === 2));
  t.is((await readDelta(out)).notes.how, 'learnt');
  for (const [more, message] of [
    [['--weights', '1'], /--weights must be 2 numbers, one for each delta: "1"/],
    [['--weights', '0,0'], /--weights must be numbers from 0, not all of them 0/],
    [['--weights', '1,1', '--data', data], /--weights and --data exclude each other/],
  ] as const) {
    const { code, stderr } = await edgeshift(['delta', 'merge', ...args, ...more]);
    t.is(code, 2, stderr);
    t.regex(stderr, message);
  }
  t.regex(
    (await edgeshift(['delta', 'merge', one, '--model', old.file.path, '--out', out])).stderr,
    /at least two deltas/,
  );
});

test('keygen, sign and verify', async (t) => {
  t.is(made.code, 0, made.stderr);
  t.is(signing.code, 0, signing.stderr);
  t.regex(
    await delta('verify', signed, '--key', pub, '--model', old.file.path),
    /: signed by [0-9a-f]{16}, for the base /,
  );
  for (const [args, message] of [
    [['verify', one, '--key', pub], /is refused: expected a signature by [0-9a-f]{16}, found none/],
    [['verify', signed, '--key', pub, '--model', renewed.file.path], /was learnt on another model/],
    [['keygen', '--out', key], /is there already, and a key is never overwritten/],
    [['sign', one, '--key', pub], /expected an ed25519 private key/],
  ] as const) {
    const { code, stderr } = await edgeshift(['delta', ...args]);
    t.is(code, 1, stderr);
    t.regex(stderr, message);
  }
});

test('with a key every command that applies a delta refuses what it did not sign', async (t) => {
  const model = old.file.path;
  const images = ['--source', join(data, 'class-0'), '--batch', '2', '--no-background', ...device];
  for (const command of [
    (path: string) => ['evaluate', model, '--delta', path, '--data', data],
    (path: string) => ['export', model, '--delta', path, '--out', at('exported.onnx')],
    (path: string) => ['adapt', model, '--delta', path, '--method', 'none', ...images],
    (path: string) => ['delta', 'merge', path, path, '--model', model, '--out', at('m')],
    (path: string) => [
      'delta',
      'transfer',
      '--from',
      model,
      '--to',
      renewed.file.path,
      '--delta',
      path,
      '--out',
      at('t'),
    ],
  ]) {
    const [name = ''] = command('');
    const refused = await edgeshift([...command(one), '--delta-key', pub]);
    t.is(refused.code, 1, `${name}: ${refused.stderr}`);
    t.regex(refused.stderr, /is refused: expected a signature by/, name);
    const taken = await edgeshift([...command(signed), '--delta-key', pub]);
    t.is(taken.code, 0, `${name}: ${taken.stderr}`);
  }
  const lost = await edgeshift([
    'export',
    model,
    '--delta',
    signed,
    '--out',
    at('x'),
    '--delta-key',
    at('lost.pub'),
    '--json',
  ]);
  t.is(lost.code, 1);
  t.regex(String((lastJson(lost).error as { message: string }).message), /cannot read the key/);
});

// Before all others, which must not see its keys.
test.serial(
  'a training writes a signed delta where a key is set, and exports what it wrote itself with or without',
  async (t) => {
    const args = [
      '--data',
      data,
      '--blocks',
      '1',
      '--epochs',
      '1',
      '--validation',
      '0.3',
      '--batch',
      '8',
      ...device,
      '--json',
    ];
    for (const [name, env] of [
      ['signs', { EDGESHIFT_SIGN_KEY: key, EDGESHIFT_DELTA_KEY: pub }],
      ['trusts', { EDGESHIFT_DELTA_KEY: pub }],
    ] as const) {
      Object.assign(process.env, env);
      const result = await edgeshift(['train', old.file.path, '--run', at(name), ...args]);
      for (const variable of Object.keys(env)) delete process.env[variable];
      t.is(result.code, 0, result.stderr);
      const { delta: path, export: exported } = lastJson(result);
      const { signer } = await readDelta(String(path));
      t.is(signer === null, name === 'trusts');
      t.true((await readFile(String(exported))).length > 0);
    }
  },
);
