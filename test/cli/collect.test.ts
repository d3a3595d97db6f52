/** `train --collect` as a process: frames of a command and of HTTP clients, labelled, written and trained on. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import sharp from 'sharp';
import { Random } from '../../runtime/train/random.ts';
import { type CliOptions, device, edgeshift, lastJson } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const SEED = 7;
const KILLS = 4;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-collect-cli-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const toys = await toyImages(join(root, 'toys'), { perClass: 8 });
const classes = ['class-0', 'class-1', 'class-2'];
test.after.always(() => rm(root, { recursive: true, force: true }));

const feed = fileURLToPath(new URL('../support/labelled-feed.js', import.meta.url));

/** A command that shows toys and labels them; it ends when so many images are collected. */
function labelled(name: string, count = Number.POSITIVE_INFINITY): string[] {
  const [folder, labels] = [join(root, name), join(root, `${name}.jsonl`)];
  const command = [process.execPath, feed, toys, labels, folder, count].join(' ');
  const source = ['--source-command', `echo $$ > ${folder}.pid; exec ${command}`, '--labels', labels];
  return ['train', model, '--collect', folder, '--classes', classes.join(), ...source, '--json', '--restarts', '0'];
}

const training = (name: string): string[] => [
  ...[...device, '--run', join(root, `${name}-run`), '--batch', '8', '--blocks', '1'],
  ...['--epochs', '2', '--validation', '0.25'],
];

/** Images of each class; each is whole, and there is nothing else. */
async function wholeImages(t: ExecutionContext, name: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const of of await readdir(join(root, name))) {
    const files = (await readdir(join(root, name, of))).filter((file) => !file.endsWith('.tmp'));
    for (const file of files) {
      const { data, info } = await sharp(join(root, name, of, file))
        .raw()
        .toBuffer({ resolveWithObject: true });
      t.deepEqual([info.width, info.channels, data.length], [16, 3, 16 * 16 * 3], file);
    }
    found[of] = files.length;
  }
  return found;
}

const temporaries = async (name: string): Promise<string[]> =>
  (await readdir(join(root, name), { recursive: true })).filter((path) => path.endsWith('.tmp'));

test.serial('frames of a command are labelled, saved and trained on, as --data would', async (t) => {
  const result = await edgeshift([...labelled('whole', 24), ...training('whole')]);
  t.is(result.code, 0, result.stderr);
  t.regex(result.stderr, /^frame 0 \(command:0\); no images yet$/m);
  t.regex(result.stderr, /^frame \d+: class-1\/\d{8}T\d{6}\.\d{3}Z-\d+-\d{6}\.png; class-0 \d+, class-1 \d+/m);
  t.regex(result.stderr, /^the source ended: \d+ of 64 frames labelled, 0 labels taken back$/m);
  t.regex(result.stderr, /^epoch 2: training/m);
  t.is(result.stdout.trimEnd().split('\n').length, 1, 'the result of the training alone');
  const { interrupted, steps, export: exported, run } = lastJson(result);
  t.false(interrupted);
  t.true((steps as number) >= 4);
  t.true(existsSync(exported as string));
  const counts = await wholeImages(t, 'whole');
  t.deepEqual(Object.keys(counts).sort(), classes);
  t.true(Object.values(counts).reduce((a, b) => a + b) >= 24);
  t.deepEqual(await temporaries('whole'), []);
  const config = JSON.parse(await readFile(join(run as string, 'config.json'), 'utf8')) as { data: string };
  t.is(config.data, join(root, 'whole'));
});

/** Calls once when stderr says so. */
function when(pattern: RegExp, act: (child: { kill(signal: NodeJS.Signals): boolean }) => void): CliOptions {
  let done = false;
  return {
    onStderr: (text, child) => {
      if (done || !pattern.test(text)) return;
      done = true;
      act(child);
    },
  };
}

const enough = /class-0 [4-9]\d*, class-1 [4-9]\d*, class-2 [4-9]/;

test.serial('SIGINT ends the collection, and training follows', async (t) => {
  const stop = when(enough, (child) => child.kill('SIGINT'));
  const result = await edgeshift([...labelled('interrupted'), ...training('interrupted')], stop);
  t.is(result.code, 0, result.stderr);
  for (const line of [/^asked to stop: collecting ends$/m, /^stopped: \d+ of \d+ frames labelled/m, /^accuracy after/m])
    t.regex(result.stderr, line);
  t.like(lastJson(result), { interrupted: false });
  await wholeImages(t, 'interrupted');
});

test.serial('SIGTERM ends everything: what was labelled is saved, nothing is trained', async (t) => {
  const stop = when(enough, (child) => child.kill('SIGTERM'));
  const result = await edgeshift([...labelled('terminated'), ...training('terminated')], stop);
  t.is(result.code, 0, result.stderr);
  const said = lastJson(result);
  t.like(said, { folder: join(root, 'terminated'), ended: 'signal', images: await wholeImages(t, 'terminated') });
  t.false(existsSync(join(root, 'terminated-run')));
});

test.serial('without training, until each class has enough', async (t) => {
  const result = await edgeshift([...labelled('only'), '--collect-only', '--collect-per-class', '3']);
  t.is(result.code, 0, result.stderr);
  const { ended, images, labels, source } = lastJson(result) as Record<string, Record<string, number>>;
  t.is(ended as unknown, 'enough');
  t.deepEqual(images, await wholeImages(t, 'only'));
  t.true(Object.values(images ?? {}).every((count) => count >= 3));
  t.like(labels, { invalid: 0, forgotten: 0 });
  t.like(source, { skipped: 0, restarts: 0 });
});

test.serial(`killed ${KILLS} times, no image is half there, and the next session goes on`, async (t) => {
  const random = new Random(SEED);
  const moments: number[] = [];
  let images = 0;
  for (let n = 0; n < KILLS; n++) {
    const millis = random.integer(0, 60);
    moments.push(millis);
    const kill = when(/^frame \d+: class/m, (child) => setTimeout(() => child.kill('SIGKILL'), millis));
    const result = await edgeshift([...labelled('killed'), '--collect-only'], kill);
    t.is(result.signal, 'SIGKILL', result.stderr);
    const now = Object.values(await wholeImages(t, 'killed')).reduce((a, b) => a + b, 0);
    t.true(now > images, `${now} images after ${images}`);
    images = now;
    await rm(join(root, 'killed.jsonl'), { force: true });
  }
  t.log(`seed ${SEED}: killed ${moments.join(', ')} ms after the first image, ${images} images`);
  const last = await edgeshift([...labelled('killed'), '--collect-only', '--collect-per-class', '1']);
  t.is(last.code, 0, last.stderr);
  t.deepEqual(await temporaries('killed'), []);
});

test.serial('where the process that would train is killed, the one that collects ends with its source', async (t) => {
  const kill = when(enough, (child) => child.kill('SIGKILL'));
  const { signal } = await edgeshift([...labelled('orphan'), ...training('orphan')], kill);
  t.is(signal, 'SIGKILL');
  const pid = Number(await readFile(join(root, 'orphan.pid'), 'utf8'));
  const lives = (): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  for (let n = 0; lives() && n < 200; n++) await delay(50);
  t.false(lives(), 'the source is gone');
  await wholeImages(t, 'orphan');
});

test.serial('HTTP clients post frames, then their labels', async (t) => {
  const posted: Promise<void>[] = [];
  const post = async (address: string): Promise<void> => {
    for (const name of ['class-0', 'class-1']) {
      const body = await readFile(join(toys, name, '0.png'));
      const shown = await fetch(`${address}/frame?name=${name}.png`, { method: 'POST', body });
      const { frame, reason } = (await shown.json()) as { frame: number; reason: string };
      t.is(reason, 'kept for its label');
      const label = { method: 'POST', body: JSON.stringify({ frame, class: name }) };
      t.is((await fetch(`${address}/label`, label)).status, 200);
      t.is((await fetch(`${address}/label`, { ...label, body: '{"frame": 9, "class": 0}' })).status, 409);
    }
  };
  const args = ['--collect', join(root, 'http'), '--classes', 'class-0,class-1', '--source', 'http', '--json'];
  const result = await edgeshift(['train', model, ...args, '--collect-only', '--collect-per-class', '1'], {
    onStderr: (text) => {
      const [, address] = /^listening on (\S+)$/m.exec(text) ?? [];
      if (address !== undefined && posted.length === 0) posted.push(post(address));
    },
  });
  await Promise.allSettled(posted);
  t.is(result.code, 0, result.stderr);
  t.like(lastJson(result), { ended: 'enough', images: { 'class-0': 1, 'class-1': 1 } });
  t.deepEqual(await wholeImages(t, 'http'), { 'class-0': 1, 'class-1': 1 });
});

const marker = join(root, 'started');
const from = ['--source-command', `touch ${marker}`];
const labels = ['--labels', join(root, 'none.jsonl')];

for (const [title, args, code, message] of [
  ['no source', labels, 2, /--collect needs a source of frames/],
  ['nothing that labels', from, 2, /--collect needs something that labels: --label-keys/],
  ['a folder without keys', ['--source', toys, ...labels], 2, /waits for a key at each image of a folder/],
  ['with --data', [...from, ...labels, '--data', toys], 2, /--collect trains on what it collects, not on --data/],
  ['with --resume', [...from, ...labels, '--resume'], 2, /--resume continues a run/],
  ['options of the training', [...from, ...labels, '--epochs', '0'], 2, /epochs must be a whole number from 1/],
  ['what trains', [...from, ...labels, '--train', 'nothing*'], 2, /nothing\*/],
  ['class names', [...from, ...labels, '--classes', 'a/b,c'], 2, /"a\/b" has a slash/],
  ['keys that are not there', [...from, '--label-device', 'x', ...labels], 2, /--label-device needs --label-keys/],
  ['a count', [...from, ...labels, '--collect-per-class', '0'], 2, /--collect-per-class must be a whole number from 1/],
] as const) {
  test.serial(`refused before anything is collected: ${title}`, async (t) => {
    const folder = join(root, `refused-${title}`);
    const result = await edgeshift(['train', model, ...device, '--collect', folder, '--classes', 'a,b', ...args]);
    t.is(result.code, code, result.stderr);
    t.regex(result.stderr, message);
    t.false(existsSync(marker));
    t.deepEqual(await readdir(folder).catch(() => []), []);
  });
}

test.serial('options of a collection mean nothing without --collect', async (t) => {
  const result = await edgeshift(['train', model, '--data', toys, '--collect-only', ...from, '--classes', 'a,b']);
  t.is(result.code, 2);
  t.regex(result.stderr, /--collect-only, --classes, --source-command: only with --collect <folder>/);
});
