/** @file Measuring this machine: the profile is valid, its rates are real ones, and the file works as a device. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { calibrate, profileName, writeProfile } from '../../device-profiles/calibrate.ts';
import { medianRate } from '../../device-profiles/median-rate.ts';
import { loadProfile } from '../../device-profiles/profiles.ts';
import { rooflineRates } from '../../device-profiles/rates.ts';
import type { Figure } from '../../device-profiles/schema.ts';
import { profileTable, profileText } from '../../tools/cli/commands/devices-text.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-calibrate-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

test('calibrate measures three rates and writes a profile that --device reads', async (t) => {
  if (process.platform !== 'linux') {
    t.pass();
    t.log('skipped: calibration describes the machine from /proc, which only Linux has');
    return;
  }
  const profile = await calibrate({ name: 'my-board', threads: 1, secondsPerRate: 0.05 });
  const { gemmFlopsPerSecond: gemm, simdBytesPerSecond: simd, copyBytesPerSecond: copy } = profile.rates ?? {};
  // Wide: no machine that runs Node is slower than the first or faster than the second.
  for (const [what, figure, least, most] of [
    ['gemm', gemm, 1e8, 1e13],
    ['simd', simd, 1e8, 1e12],
    ['copy', copy, 1e8, 1e12],
  ] as const) {
    const rate = figure?.value ?? Number.NaN;
    t.true(rate >= least && rate <= most, `${what}: ${rate} a second`);
    t.is(figure?.kind, 'measured');
    t.regex(figure?.source ?? '', /^calibrated: .*; median of \d+ rounds from \d+\.\d\d to \d+\.\d\d G$/);
  }
  t.regex(gemm?.source ?? '', /1 thread;/);
  t.is(profile.limits.threads.value, 1);
  t.is(rooflineRates(profile)?.basis, 'calibrated on the device');
  const usable = profile.memoryUsableBytes?.value ?? Number.NaN;
  t.is(profile.limits.memoryBytes.value, Math.floor(usable / 2));

  const path = join(folder, 'my-board.json');
  await writeProfile(path, profile);
  t.deepEqual(await loadProfile(path), profile);
  t.deepEqual(await readdir(folder), ['my-board.json'], 'no temporary file is left');
  t.regex(profileText(profile), /^rates\.gemmFlopsPerSecond +\d+\.\d\d G {2}measured {2}calibrated: /m);
});

test('a profile is named after its file', (t) => {
  for (const [path, name] of [
    ['./my-board.json', 'my-board'],
    ['/srv/boards/Orin Nano (2).JSON', 'orin-nano-2'],
    ['profile', 'profile'],
    ['.json', 'calibrated'],
    ['ü/', 'calibrated'],
  ] as const)
    t.is(profileName(path), name);
});

test('medianRate: the first round is not counted, at least five are', async (t) => {
  let rounds = 0;
  const rate = await medianRate(0, () => {
    rounds++;
    const until = performance.now() + 1;
    while (performance.now() < until);
    return rounds === 1 ? 1e12 : 1;
  });
  t.is(rounds, 6);
  t.is(rate.rounds, 5);
  t.true(rate.lowest <= rate.median && rate.median <= rate.highest && rate.highest <= 1000, JSON.stringify(rate));
});

test('the table of devices: sizes, rates, and a dash for what is not known', async (t) => {
  const [coral, nano] = await Promise.all([loadProfile('coral-dev-board-1gb'), loadProfile('jetson-nano-4gb')]);
  const figure = (value: number): Figure => ({ value, kind: 'measured', source: 'live' });
  const rates = { gemmFlopsPerSecond: figure(2e9), simdBytesPerSecond: figure(3e9), copyBytesPerSecond: figure(4e9) };
  const lines = profileTable([coral, nano, { ...coral, name: 'mine', rates }]).split('\n');
  t.regex(lines[0] ?? '', /^profile +memory +usable +cap +cores +GB\/s +CPU GFLOPS +GPU GFLOPS +board$/);
  t.regex(lines[1] ?? '', /^coral-dev-board-1gb +1024 MiB +- +410 MiB +4 +- +- +- +Coral Dev Board 1GB$/);
  t.regex(
    lines[2] ?? '',
    /^jetson-nano-4gb +4096 MiB +3957 MiB +1979 MiB +4 +25\.6 +45\.5 +235\.9 +NVIDIA Jetson Nano/,
  );
  t.regex(lines[3] ?? '', /^mine +1024 MiB +- +410 MiB +4 +4\.0 +2\.0 +- /);
});

test('show: every figure with kind and source, and the sources in full', async (t) => {
  const profile = await loadProfile('jetson-xavier-nx-8gb');
  const text = profileText(profile);
  t.regex(text, /^ {2}power mode {2}MODE_10W_DESKTOP \(nvpmodel 5\)$/m);
  t.regex(text, /^cpu\.clockMegahertz +1907\.2 {2}vendor +nvpmodel-p3668$/m);
  t.regex(text, /^memoryBandwidthBytesPerSecond +51\.20 G {2}computed {2}nvpmodel-p3668: memory clock 1600 MHz x 2/m);
  for (const [key, source] of Object.entries(profile.sources)) t.true(text.includes(`  ${key}: ${source}\n`), key);
});
