import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { listProfiles, loadProfile } from '../../device-profiles/profiles.ts';
import { type DeviceProfile, parseProfile } from '../../device-profiles/schema.ts';
import { ProfileError } from '../../runtime/errors.ts';

const profiles = await listProfiles();

test('the boards that ship with the package', (t) => {
  t.deepEqual(
    profiles.map(({ name }) => name),
    ['jetson-nano-4gb', 'jetson-orin-nano-8gb', 'raspberry-pi-4-4gb'],
  );
});

for (const profile of profiles) {
  test(`${profile.name}: figures agree with each other`, (t) => {
    const { cpu, gpu, limits, memoryUsableBytes, cpuFlopsPerSecond } = profile;
    t.is(limits.memoryBytes.value, Math.floor(memoryUsableBytes.value / 2), 'half of usable');
    t.is(limits.threads.value, cpu.cores.value);
    // No core of these boards does more than two 128-bit FMA (16 flops) or less than one 64-bit (4) a cycle.
    const flopsPerCycle = (cpuFlopsPerSecond?.value ?? 0) / (cpu.cores.value * (cpu.clockMegahertz?.value ?? 0) * 1e6);
    t.true(flopsPerCycle >= 4 && flopsPerCycle <= 16.01, `${flopsPerCycle} flops a cycle`);
    if (gpu?.flopsPerSecond && gpu.cores && gpu.clockMegahertz) {
      const expected = gpu.cores.value * 2 * gpu.clockMegahertz.value * 1e6;
      t.true(
        Math.abs(gpu.flopsPerSecond.value / expected - 1) <= 1e-9,
        `${gpu.flopsPerSecond.value} is not ${expected}`,
      );
    }
  });
}

test('loadProfile takes a name, a path or this-machine', async (t) => {
  t.deepEqual(await loadProfile('jetson-nano-4gb'), profiles[0]);
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-profile-'));
  const own = { ...profiles[0], name: 'my-board' };
  await writeFile(join(folder, 'my-board.json'), JSON.stringify(own));
  t.deepEqual(await loadProfile(join(folder, 'my-board.json')), own);
  await rm(folder, { recursive: true });
  if (process.platform === 'linux') t.is((await loadProfile('this-machine')).name, 'this-machine');
});

test('loadProfile names what there is when it does not know a device', async (t) => {
  const error = await t.throwsAsync(loadProfile('jetson-nono'), { instanceOf: ProfileError });
  t.regex(error?.message ?? '', /^device "jetson-nono": expected one of this-machine, jetson-nano-4gb, .*\nHint: /);
  await t.throwsAsync(loadProfile('./absent.json'), { instanceOf: ProfileError, message: /absent\.json: cannot read/ });
});

function change(edit: (profile: Record<string, unknown> & DeviceProfile) => void): string {
  const copy = structuredClone(profiles[0]) as Record<string, unknown> & DeviceProfile;
  edit(copy);
  return JSON.stringify(copy);
}

for (const [what, text, message] of [
  ['no JSON', '{', /^my\.json: expected JSON but /],
  ['a field too many', change((p) => Object.assign(p, { memory: 4 })), /\(whole file\): .*memory/],
  ['a missing field', change((p) => Reflect.deleteProperty(p, 'limits')), / {2}limits: /],
  ['a bare number', change((p) => Object.assign(p.cpu, { cores: 4 })), / {2}cpu\.cores: .*object/],
  ['a value of 0', change((p) => Object.assign(p.cpu.cores, { value: 0 })), / {2}cpu\.cores\.value: /],
  ['half a core', change((p) => Object.assign(p.cpu.cores, { value: 1.5 })), / {2}cpu\.cores\.value: .*int/],
  [
    'an unknown kind',
    change((p) => Object.assign(p.cpu.cores, { kind: 'guess' })),
    / {2}cpu\.cores\.kind: .*"measured"/,
  ],
  [
    'an unknown source',
    change((p) => Object.assign(p.cpu.cores, { source: 'rumour: x' })),
    / {2}cpu\.cores\.source: .*"rumour"/,
  ],
  [
    'a limit above usable',
    change((p) => Object.assign(p.limits.memoryBytes, { value: 5e9 })),
    / {2}limits\.memoryBytes: /,
  ],
  ['usable above total', change((p) => Object.assign(p.memoryTotalBytes, { value: 1e9 })), / {2}memoryUsableBytes: /],
] as const) {
  test(`parseProfile refuses ${what}`, (t) => {
    const error = t.throws(() => parseProfile(text, 'my.json'), { instanceOf: ProfileError });
    t.regex(error?.message ?? '', message);
    t.true(error?.message.startsWith('my.json: '));
  });
}

test('parseProfile names every fault at once', (t) => {
  const text = change((p) => {
    Object.assign(p.cpu.cores, { value: -1 });
    Object.assign(p.powerMode, { id: 'zero' });
  });
  const error = t.throws(() => parseProfile(text, 'my.json'), { instanceOf: ProfileError });
  t.regex(error?.message ?? '', /2 faults\n/);
  for (const field of ['powerMode.id', 'cpu.cores.value']) t.true(error?.message.includes(`  ${field}: `), field);
});
