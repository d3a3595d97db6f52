import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { device, edgeshift, lastJson, refusesToTrain } from '../support/train-cli.ts';
import { mountSmallDisk } from '../support/train-disk.ts';
import { toyImages } from '../support/train-images.ts';
import { losses, readCheckpoints, tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-bad-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const settings = ['--batch', '8', '--blocks', '1', '--epochs', '2', '--validation', '0.25', ...device];

/** Trains what must fail, with one thing wrong. */
const refuses = (
  t: ExecutionContext,
  input: { readonly model?: string; readonly data?: string; readonly flags?: readonly string[] },
  code: number,
  message: RegExp,
) =>
  refusesToTrain(
    t,
    root,
    [input.model ?? model, '--data', input.data ?? data, ...settings, ...(input.flags ?? [])],
    code,
    message,
  );

/** A copy of the images with changes. */
async function images(name: string): Promise<string> {
  const folder = join(root, name);
  await cp(data, folder, { recursive: true });
  return folder;
}

test('files that are no images are skipped by name, with their number; --strict refuses them', async (t) => {
  const folder = await images('unusable');
  await writeFile(join(folder, 'class-0', 'notes.txt'), 'hello');
  await writeFile(join(folder, 'class-1', 'text.png'), 'this is no picture');
  await writeFile(
    join(folder, 'class-2', 'cut.png'),
    (await readFile(join(folder, 'class-2', '0.png'))).subarray(0, 900),
  );
  await writeFile(join(folder, 'class-2', 'empty.jpg'), '');
  const run = join(root, 'skipping');
  const args = ['train', model, '--data', folder, '--run', run, ...settings, '--scheme', 'head', '--epochs', '1'];
  const lenient = await edgeshift(args);
  t.is(lenient.code, 0, lenient.stderr);
  t.regex(lenient.stderr, /skipped 4 files that cannot be used:\n/);
  for (const name of ['notes.txt', 'text.png', 'cut.png', 'empty.jpg']) t.true(lenient.stderr.includes(name), name);
  const error = await refuses(
    t,
    { data: folder, flags: ['--strict'] },
    1,
    /4 files cannot be used \(strict\)[\s\S]*text\.png[\s\S]*cut\.png[\s\S]*Hint: /,
  );
  t.is((error.skipped as unknown[]).length, 4);
});

test('a class without images, one class only, no classes, no folder', async (t) => {
  const empty = await images('empty-class');
  await mkdir(join(empty, 'class-3'));
  await refuses(t, { data: empty }, 1, /class without an image \(.*\): class-3\nHint: /);
  const lost = await images('lost-class');
  for (const name of await readdir(join(lost, 'class-1'))) await writeFile(join(lost, 'class-1', name), 'damaged');
  await refuses(t, { data: lost }, 1, /no image could be read of class class-1\n[\s\S]*and 2 more/);
  const one = join(root, 'one-class');
  await toyImages(one, { classes: 1, perClass: 2 });
  await refuses(t, { data: one }, 1, /expected at least two classes but found one, "class-0"\nHint: /);
  await refuses(t, { data: join(one, 'class-0') }, 1, /expected one folder a class but found none\nHint: /);
  await refuses(t, { data: join(root, 'nowhere') }, 1, /expected a folder of images but found nothing/);
  await refuses(t, { flags: ['--test', one] }, 1, /expected a folder for class-1, class-2 but found class-0/);
});

test('a loss that becomes NaN: training stops, the last good checkpoint stays and is readable', async (t) => {
  const run = join(root, 'diverges');
  const args = ['train', model, '--data', data, '--run', run, '--json', ...settings];
  const result = await edgeshift([
    ...args,
    '--lr',
    '1e20',
    '--optimizer',
    'sgd',
    '--checkpoint-steps',
    '1',
    '--epochs',
    '9',
  ]);
  t.is(result.code, 1, result.stderr);
  t.regex(
    result.stderr,
    /the loss is (NaN|Infinity|-Infinity): training stops|holds (NaN|-?Infinity) at step \d+: this state is not saved/,
  );
  t.is((lastJson(result).error as { code: string }).code, 'EXECUTION');
  t.true((await losses(run)).every((loss) => Number.isFinite(loss)));
  await readCheckpoints(run);
  t.deepEqual(
    (await readdir(run)).filter((name) => /^(delta|model)/.test(name) || name.endsWith('.tmp')),
    [],
  );
});

test('a run folder that cannot be made', async (t) => {
  const taken = join(root, 'taken');
  await writeFile(taken, 'a file');
  for (const run of [taken, join(taken, 'below')]) {
    const result = await edgeshift(['train', model, '--data', data, '--run', run, ...settings]);
    t.is(result.code, 1);
    t.regex(result.stderr, /^edgeshift: cannot (read|write) ".*taken.*": (EEXIST|ENOTDIR)/);
  }
});

test('a full disk while writing: every file is whole or absent, what was there stays', async (t) => {
  const disk = await mountSmallDisk(root, '1m');
  if (!disk) {
    t.log('skipped: a small tmpfs cannot be mounted here (needs root)');
    t.pass();
    return;
  }
  try {
    // No room for the images, for the plan, for the first or for the third checkpoint.
    const codes: (number | null)[] = [];
    for (const takenKiB of [1005, 960, 938, 920]) {
      const filler = join(disk.path, 'other');
      await writeFile(filler, new Uint8Array(takenKiB << 10));
      const run = join(disk.path, 'run');
      const args = ['train', model, '--data', data, '--run', run, ...settings, '--checkpoint-steps', '1', '--no-cache'];
      const result = await edgeshift(args);
      codes.push(result.code);
      if (result.code !== 0) {
        t.is(result.code, 1, result.stderr);
        t.regex(result.stderr, /ENOSPC|not enough disk/, `${takenKiB} KiB taken`);
        t.notRegex(result.stderr, /\n\s+at /);
      }
      await readCheckpoints(run);
      const left = await readdir(disk.path, { recursive: true });
      t.deepEqual(
        left.filter((name) => name.endsWith('.tmp')),
        [],
      );
      // Once there is room, the run goes on from where it was, if it had begun.
      await rm(filler);
      if (left.includes('run/config.json')) {
        const resumed = await edgeshift(['train', '--resume', '--run', run, '--json']);
        t.is(resumed.code, 0, resumed.stderr);
        t.is(lastJson(resumed).steps, 8);
      }
      await rm(run, { recursive: true, force: true });
    }
    t.deepEqual(codes, [1, 1, 1, 1]);
  } finally {
    disk.unmount();
  }
});
