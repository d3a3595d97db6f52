import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { listProfiles, loadProfile } from '../../device-profiles/profiles.ts';
import { type DeviceProfile, parseProfile } from '../../device-profiles/schema.ts';
import { ProfileError } from '../../runtime/errors.ts';

const profiles = await listProfiles();
const nano = await loadProfile('jetson-nano-4gb');

test('loadProfile takes a name, a path or this-machine', async (t) => {
  t.deepEqual(
    nano,
    profiles.find(({ name }) => name === 'jetson-nano-4gb'),
  );
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-profile-'));
  const own = { ...nano, name: 'my-board' };
  await writeFile(join(folder, 'my-board.json'), JSON.stringify(own));
  t.deepEqual(await loadProfile(join(folder, 'my-board.json')), own);
  await rm(folder, { recursive: true });
  if (process.platform === 'linux') t.is((await loadProfile('this-machine')).name, 'this-machine');
});

for (const [given, name] of [
  ['Jetson-Nano-4GB', 'jetson-nano-4gb'],
  ['jetson-nano-4gb@MAXN', 'jetson-nano-4gb'],
  ['jetson-nano-4gb@5W', 'jetson-nano-4gb@5w'],
  ['jetson-orin-nano-8gb@15W', 'jetson-orin-nano-8gb'],
  ['jetson-orin-nano-8gb@MAXN_SUPER', 'jetson-orin-nano-8gb@maxn_super'],
  ['jetson-xavier-nx-8gb@MODE_15W_2CORE', 'jetson-xavier-nx-8gb@15w_2core'],
  ['jetson-xavier-nx-8gb@10w_desktop', 'jetson-xavier-nx-8gb'],
  ['raspberry-pi-5-8gb@default', 'raspberry-pi-5-8gb'],
] as const) {
  test(`loadProfile takes ${given} for ${name}`, async (t) => t.is((await loadProfile(given)).name, name));
}

test('loadProfile names the modes of a board it knows', async (t) => {
  await t.throwsAsync(loadProfile('jetson-nano-4gb@7W'), {
    instanceOf: ProfileError,
    message: /^device "jetson-nano-4gb@7W": expected the power mode MAXN \(jetson-nano-4gb\), or one of 5w\nHint: /,
  });
  await t.throwsAsync(loadProfile('toaster@5w'), { message: /^device "toaster@5w": expected one of this-machine, / });
});

test('loadProfile names what there is when it does not know a device', async (t) => {
  const error = await t.throwsAsync(loadProfile('jetson-nono'), { instanceOf: ProfileError });
  t.regex(error?.message ?? '', /^device "jetson-nono": expected one of this-machine, .*jetson-nano-4gb, .*\nHint: /);
  await t.throwsAsync(loadProfile('./absent.json'), { instanceOf: ProfileError, message: /absent\.json: cannot read/ });
});

function change(edit: (profile: Record<string, unknown> & DeviceProfile) => void): string {
  const copy = structuredClone(nano) as Record<string, unknown> & DeviceProfile;
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
  [
    'a limit above the total where usable is not known',
    change((p) => {
      Reflect.deleteProperty(p, 'memoryUsableBytes');
      Object.assign(p.limits.memoryBytes, { value: 5e9 });
    }),
    / {2}limits\.memoryBytes: expected at most memoryTotalBytes/,
  ],
  ['a name with capitals', change((p) => Object.assign(p, { name: 'Nano@5W' })), / {2}name: expected lower-case/],
  [
    'rates without one of the three',
    change((p) => Object.assign(p, { rates: { gemmFlopsPerSecond: p.cpu.cores, copyBytesPerSecond: p.cpu.cores } })),
    / {2}rates\.simdBytesPerSecond: /,
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
