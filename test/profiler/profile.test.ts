/** Whole profiles of real commands: what fits, what does not, and what a profile costs. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { findCap } from '../../tools/profiler/find-cap.ts';
import { limitKinds } from '../../tools/profiler/limits/choose.ts';
import type { ProfileRecord } from '../../tools/profiler/record.ts';
import { readRecord } from '../../tools/profiler/record-schema.ts';
import { reportHtml } from '../../tools/profiler/report/report.ts';
import { type ProfileRequest, runProfiled } from '../../tools/profiler/run-profiled.ts';
import { Sampler } from '../../tools/profiler/sampler.ts';
import { Thinned } from '../../tools/profiler/thinned.ts';
import { mainModule } from '../support/loaded-modules.ts';
import { device, edgeshift, lastJson } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const MIB = 2 ** 20;

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-profile-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
const data = await toyImages(join(root, 'images'));
test.after.always(() => rm(root, { recursive: true, force: true }));

let runs = 0;
const training = (...more: string[]): string[] => [
  ...['train', model, '--data', data, '--run', join(root, `run-${runs++}`), '--blocks', '1', '--batch', '8'],
  ...['--epochs', '2', ...device, '--budget', '1GiB', ...more],
];

test.serial('a training that fits: planned and measured bytes, samples and marks in the order of time', async (t) => {
  const out = join(root, 'fits');
  const result = await edgeshift(['profile', '--cap', '512MiB', '--out', out, '--', ...training()]);
  t.is(result.code, 0, result.stderr);
  t.regex(result.stdout, /^whole process +[\d.]+ MiB +[\d.]+ MiB +[+-][\d.]+ %$/m);
  t.regex(result.stdout, /^outcome +finished$/m);
  t.deepEqual((await readdir(out)).sort(), ['record.json', 'report.html']);
  const record = await readRecord(join(out, 'record.json'));
  t.is(await readFile(join(out, 'report.html'), 'utf8'), reportHtml(record));
  const { planned, peak, samples, marks, limit, outcome, command } = record;
  t.like(outcome, { status: 'finished', exitCode: 0, signal: null, errorText: '' });
  t.like(limit, { memoryBytes: 512 * MIB, cpus: null, cores: null, profile: null });
  t.deepEqual(
    limit.refused.map((reason) => reason.split(':')[0]),
    limitKinds.slice(0, limit.refused.length),
  );
  t.is(command[0], 'train');
  t.is(peak.arenaBytes, planned?.arenaBytes ?? 0, 'the arena is exact');
  t.true(peak.rssBytes > 40 * MIB && peak.rssBytes < 512 * MIB);
  t.true(samples.length > 5);
  t.true(samples.every(({ at }, n) => n === 0 || at > (samples[n - 1]?.at ?? 0)));
  t.true(samples.every(({ rssBytes, anonymousBytes, fileBytes }) => rssBytes === anonymousBytes + fileBytes));
  t.true(samples.some(({ heapBytes }) => (heapBytes ?? 0) > 2 * MIB));
  t.true(samples.some(({ pssBytes }) => pssBytes !== null) === (peak.pssBytes !== null));
  t.deepEqual(
    marks.map(({ at }) => at),
    marks.map(({ at }) => at).sort((a, b) => a - b),
  );
  const steps = marks.filter(({ kind }) => kind === 'step').map(({ number }) => number);
  t.deepEqual(
    steps,
    steps.map((_, n) => n + 1),
  );
  t.true(steps.length >= 8);
  const passes = new Set(record.steps.map(({ pass }) => pass));
  t.deepEqual([...passes], ['prefix', 'forward', 'backward', 'optimizer']);
  t.true(record.steps.every(({ millis, bytes }) => millis >= 0 && bytes >= 0));
  t.false(record.missing.some((reason) => reason.includes('time of each step')));
  t.true(record.profiler === null || record.profiler.cpuShare < 1, 'a share of one core');
  const kinds = marks.map(({ kind }) => kind);
  t.is(kinds[0], 'opened');
  t.deepEqual(kinds.slice(-2), ['exported', 'finished']);
});

test.serial('a cap that does not fit: out of memory, the cap named, exit code 3', async (t) => {
  const out = join(root, 'small');
  const result = await edgeshift(['profile', '--cap', '28MiB', '--out', out, '--', ...training()]);
  t.is(result.code, 3, `${result.stdout}\n${result.stderr}`);
  t.regex(result.stdout, /^outcome +out of memory under a cap of 28\.0 MiB \(.*[1-9]\d* processes killed\)$/m);
  const { outcome, limit } = await readRecord(join(out, 'record.json'));
  t.is(outcome.status, 'out of memory');
  t.true((outcome.oomKills ?? 0) > 0);
  t.is(limit.memoryBytes, 28 * MIB);
});

test.serial('the watchdog in its place, and a command that fails for itself', async (t) => {
  const out = join(root, 'watched');
  const limited = ['profile', '--limit', 'watchdog', '--out', out];
  const small = await edgeshift([...limited, '--cap', '60MiB', '--', ...training()]);
  t.is(small.code, 3, small.stderr);
  t.regex(small.stdout, /held by +watchdog: 60\.0 MiB \(looks at resident memory now and then/);
  const wrong = await edgeshift([...limited, '--cap', '512MiB', '--json', '--', ...training('--optimizer', 'none')]);
  t.is(wrong.code, 2, wrong.stderr);
  const { outcome, planned, missing } = lastJson(wrong) as unknown as ProfileRecord;
  t.like(outcome, { status: 'failed', exitCode: 2, oomKills: 0 });
  t.regex(outcome.errorText, /--optimizer must be one of/);
  t.is(planned, null);
  t.true(missing.includes('the command told no plan'));
});

test('what makes no sense is refused before anything runs', async (t) => {
  const refusals: [string[], RegExp][] = [
    [['profile', '--', 'devices'], /profile runs train or adapt/],
    [['profile', '--cap', 'much', '--', 'train'], /--cap must be a size/],
    [['profile', '--cpus', '0', '--', 'train'], /--cpus must be more than 0/],
    [['profile', '--cores', '1.5', '--', 'train'], /--cores must be a whole number/],
    [
      ['profile', '--limit', 'prayer', '--', 'train'],
      /--limit must be one of cgroup-v2, cgroup-v1, systemd-scope, watchdog/,
    ],
    [['profile', '--find-cap', '--cap', '1GiB', '--', 'train'], /leave --cap away/],
  ];
  for (const [args, message] of refusals) {
    const { code, stderr } = await edgeshift(args, { cwd: root });
    t.is(code, 2, stderr);
    t.regex(stderr, message);
  }
  t.false(existsSync(join(root, 'profiles')));
});

test('a power meter that is not there ends with 1 before anything runs', async (t) => {
  const { code, stderr } = await edgeshift(['profile', '--power-meter', '/dev/null', '--', 'train'], { cwd: root });
  t.is(code, 1, stderr);
  t.regex(stderr, /power meter: none that is "\/dev\/null" was found|node-hid: cannot be loaded/);
  t.false(existsSync(join(root, 'profiles')));
});

test.serial('an adaptation tells its plan, calls and arena', async (t) => {
  const out = join(root, 'adapted');
  const command = ['adapt', model, '--source', data, '--method', 'tent', '--batch', '4', ...device];
  const result = await edgeshift(['profile', '--cap', '512MiB', '--out', out, '--', ...command]);
  t.is(result.code, 0, result.stderr);
  const { planned, peak, marks } = await readRecord(join(out, 'record.json'));
  t.is(peak.arenaBytes, planned?.arenaBytes ?? 0);
  t.is(marks.filter(({ kind }) => kind === 'step').length, 9);
});

test.serial('SIGINT reaches the command, which ends as it would alone', async (t) => {
  const out = join(root, 'interrupted');
  const args = ['profile', '--cap', '512MiB', '--out', out, '--', ...training('--epochs', '10000')];
  const result = await edgeshift(args, {
    onStderr: (text, child) => {
      if (/step 20\//.test(text) && !text.includes('SIGINT')) child.kill('SIGINT');
    },
  });
  t.is(result.code, 0, result.stderr);
  t.regex(result.stderr, /SIGINT: finishing this step and writing a checkpoint/);
  t.like((await readRecord(join(out, 'record.json'))).outcome, { status: 'interrupted', exitCode: 0 });
});

/** A command that takes memory and time as wanted, in place of a training. */
const program = (mebibytes: number, millis: number): Pick<ProfileRequest, 'program' | 'command'> => ({
  program: [process.execPath, '-e'],
  command: [`const held = Buffer.alloc(${mebibytes} * 2 ** 20, 1); setTimeout(() => held, ${millis});`],
});
const free = { memoryBytes: null, cpus: null, cores: null, profile: null };

test.serial('a command that takes too long is killed and was interrupted', async (t) => {
  const record = await runProfiled({ ...program(1, 60_000), limit: free, quiet: true, timeLimitMillis: 300 });
  t.like(record.outcome, { status: 'interrupted', exitCode: null, signal: 'SIGKILL' });
  t.true(record.millis >= 300 && record.millis < 20_000);
});

test.serial('the smallest cap of a real process lies between what it holds and its resident memory', async (t) => {
  // Held for a while, so that a busy machine's looks see it.
  const request = { ...program(150, 500), limit: free, quiet: true };
  const found = await findCap(
    (memoryBytes, timeLimitMillis) =>
      runProfiled({
        ...{ ...request, limit: { ...free, memoryBytes } },
        ...(timeLimitMillis !== null && { timeLimitMillis }),
      }),
    ({ capBytes, end }) => t.log(`${capBytes / MIB} MiB: ${end}`),
  );
  t.true(found.capBytes > 150 * MIB, `${found.capBytes}`);
  t.true(found.capBytes <= found.free.peak.rssBytes + 8 * MIB, `${found.capBytes} of ${found.free.peak.rssBytes}`);
  t.is(found.smallest.outcome.status, 'finished');
});

test.serial('looking takes less than 3 % of a core and 8 MiB', async (t) => {
  const { command, program: node } = program(150, 20_000);
  const [file = '', ...args] = [...node, ...command];
  const child = spawn(file, args, { stdio: 'ignore' });
  try {
    await new Promise((resolve) => setTimeout(resolve, 700));
    const options = { root: '/', pid: child.pid ?? 0, group: null, power: null, heapBytes: () => null };
    const sampler = new Sampler({ ...options, intervalMillis: 50, startedMillis: performance.now() });
    sampler.start();
    // The first looks compile the code.
    await new Promise((resolve) => setTimeout(resolve, 500));
    globalThis.gc?.();
    const [cpu, heap, started] = [process.cpuUsage(), process.memoryUsage().heapUsed, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const { user, system } = process.cpuUsage(cpu);
    const seconds = (performance.now() - started) / 1000;
    globalThis.gc?.();
    const grown = process.memoryUsage().heapUsed - heap;
    await sampler.stop();
    const count = sampler.samples().filter(({ at }) => at >= 500).length;
    // A busy machine delays looks; each of them counts for 50 ms all the same.
    const share = (user + system) / 1000 / (50 * count);
    t.log(`${(100 * share).toFixed(2)} % of a core, ${(grown / 1024).toFixed(0)} KiB, ${count} looks in ${seconds} s`);
    t.true(share < 0.03, `${share}`);
    t.true(grown < 8 * MIB, `${grown}`);
    t.true(count > 5, `${count}`);
    const { cpuShare, bytes } = sampler.cost ?? { cpuShare: Number.NaN, bytes: Number.NaN };
    t.true(cpuShare > 0 && cpuShare < 1 && bytes >= 0, `${cpuShare} of a core, ${bytes} bytes, by its own count`);
  } finally {
    child.kill('SIGKILL');
  }
});

test('a series of any length stays small and keeps its largest values', (t) => {
  const series = new Thinned<number>(64, Math.max);
  for (let n = 0; n < 10_000; n++) series.add(n === 4321 ? 1e6 : n % 100);
  const values = series.values();
  t.true(values.length <= 65);
  t.is(Math.max(...values), 1e6);
  const short = new Thinned<number>(64, Math.max);
  for (let n = 0; n < 50; n++) short.add(n);
  t.deepEqual(
    short.values(),
    Array.from({ length: 50 }, (_, n) => n),
  );
});

test('help names the options', async (t) => {
  const { code, stdout } = await edgeshift(['profile', '--help']);
  t.is(code, 0);
  t.regex(stdout, /profile \[options\] -- train\|adapt/);
  t.true(existsSync(mainModule));
});
