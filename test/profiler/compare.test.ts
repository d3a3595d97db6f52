/** `profile compare`: two files in, a table and a page out. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { mainModule } from '../support/loaded-modules.ts';
import { emptyRun, finishedRun, outOfMemory } from './report/example-records.ts';

const SEED = 15;
const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-compare-'));
const [a, b, broken] = ['a.json', 'b.json', 'broken.json'].map((name) => join(root, name)) as [string, string, string];
await writeFile(a, JSON.stringify(finishedRun(SEED)));
await writeFile(b, JSON.stringify(outOfMemory(SEED)));
await writeFile(broken, JSON.stringify({ ...emptyRun(), millis: 'long' }));
test.after.always(() => rm(root, { recursive: true, force: true }));

function compare(...args: readonly string[]) {
  return spawnSync(process.execPath, [mainModule, 'profile', 'compare', ...args], { encoding: 'utf8' });
}

test('a table on standard output and a page in the file', async (t) => {
  const out = join(root, 'comparison.html');
  const { status, stdout, stderr } = compare(a, b, '--out', out);
  t.is(status, 0, stderr);
  t.regex(stdout, /^Figure +A +B +B against A\nCap +160\.0 MiB +112\.0 MiB +−30\.0 %\n/);
  t.true(stderr.includes(`wrote ${out}`));
  t.true((await readFile(out, 'utf8')).startsWith('<!doctype html>'));
});

test('two runs are asked for, and options go before or after them', (t) => {
  const alone = compare(a);
  t.is(alone.status, 2);
  t.regex(alone.stderr, /missing required argument 'b'/);
  const before = compare('--out', join(root, 'before.html'), '--json', a, b);
  t.is(before.status, 0, before.stderr);
  t.is(JSON.parse(before.stdout).out, join(root, 'before.html'));
});

test('figures as JSON', (t) => {
  const out = join(root, 'json.html');
  const { status, stdout } = compare(a, b, '--out', out, '--json');
  t.is(status, 0);
  const { figures, ...files } = JSON.parse(stdout);
  t.deepEqual(files, { a, b, out });
  t.like(figures[0], { key: 'capBytes', a: 160 * 2 ** 20, b: 112 * 2 ** 20 });
});

test('a file that is no record is named with the field, exits 1 and leaves no page', async (t) => {
  const { status, stderr } = compare(a, broken, '--out', join(root, 'no.html'));
  t.is(status, 1);
  t.true(stderr.includes(`${broken}: not a profile record`));
  t.regex(stderr, /\n {2}millis: /);
  t.false((await readdir(root)).includes('no.html'));
});
