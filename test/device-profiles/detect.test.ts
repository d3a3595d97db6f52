import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';

import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { alikeProfiles, detectDevice } from '../../device-profiles/detect.ts';
import { listProfiles } from '../../device-profiles/profiles.ts';
import { parseProfile } from '../../device-profiles/schema.ts';
import { ProfileError } from '../../runtime/errors.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-detect-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;

const machine = {
  '/proc/meminfo': 'MemTotal:        4051968 kB\nMemFree:          100000 kB\nMemAvailable:    3145728 kB\n',
  '/proc/cpuinfo': ['0', '1', '2', '3'].map((n) => `processor\t: ${n}\nCPU part\t: 0xd07\n`).join('\n'),
};

/** Lays out a system of which only the given files exist. */
async function layOut(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const root = join(folder, name);
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(root, path, '..'), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

test('a Jetson: board, module, release, power mode, cores, clock, memory', async (t) => {
  const root = await layOut('jetson', {
    ...machine,
    '/proc/device-tree/model': 'NVIDIA Jetson Nano Developer Kit\0',
    '/proc/device-tree/compatible': 'nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210\0',
    '/etc/nv_tegra_release': '# R32 (release), REVISION: 7.6, GCID: 38171779, BOARD: t210ref, EABI: aarch64\n',
    '/var/lib/nvpmodel/status': 'pmode:0001',
    '/etc/nvpmodel.conf': '< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=5W >\n',
    '/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq': '1479000\n',
  });
  const profile = await detectDevice(root);
  t.is(profile.title, 'NVIDIA Jetson Nano Developer Kit');
  t.deepEqual(profile.modules, ['nvidia,p3449-0000-b00+p3448-0000-b00', 'nvidia,jetson-nano', 'nvidia,tegra210']);
  t.is(profile.powerMode.name, '5W');
  t.is(profile.powerMode.id, 1);
  t.is(profile.powerMode.watts?.value, 5);
  t.is(profile.cpu.model, 'Cortex-A57');
  t.is(profile.cpu.cores.value, 4);
  t.is(profile.cpu.clockMegahertz?.value, 1479);
  t.is(profile.memoryTotalBytes.value, 4051968 * 1024);
  t.is(profile.memoryUsableBytes?.value, 4051968 * 1024);
  t.is(profile.limits.memoryBytes.value, 3 * gibibyte);
  t.is(profile.limits.threads.value, 4);
  t.regex(profile.sources.live ?? '', /Jetson Linux 32\.7\.6/);
  t.deepEqual(parseProfile(JSON.stringify(profile), 'detected'), profile);
});

test('the shipped profiles of a detected board: module, mode and memory', async (t) => {
  const shipped = await listProfiles();
  const alike = async (name: string, files: Readonly<Record<string, string>>) =>
    alikeProfiles(await detectDevice(await layOut(name, { ...machine, ...files })), shipped).map((found) => found.name);
  const nvpmodel = (id: number, name: string) => ({
    '/var/lib/nvpmodel/status': `pmode:000${id}`,
    '/etc/nvpmodel.conf': `< POWER_MODEL ID=${id} NAME=${name} >\n`,
  });
  const nano = 'nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0';
  t.deepEqual(await alike('alike nano', { '/proc/device-tree/compatible': nano, ...nvpmodel(1, '5W') }), [
    'jetson-nano-4gb@5w',
  ]);
  const orin = {
    '/proc/device-tree/compatible': 'nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0',
    '/proc/meminfo': 'MemTotal:        7802676 kB\nMemAvailable:    6145728 kB\n',
  };
  t.deepEqual(await alike('alike orin 25', { ...orin, ...nvpmodel(1, '25W') }), ['jetson-orin-nano-8gb@25w']);
  const both = ['jetson-orin-nano-8gb', 'jetson-orin-nano-8gb@15w-super'];
  t.deepEqual(await alike('alike orin 15', { ...orin, ...nvpmodel(0, '15W') }), both);
  const pi = 'raspberrypi,4-model-b\0brcm,bcm2711\0';
  t.deepEqual(await alike('alike pi', { '/proc/device-tree/compatible': pi }), ['raspberry-pi-4-4gb']);
  t.deepEqual(await alike('alike nothing', {}), []);
});

test('a mode without a name, and no mode at all', async (t) => {
  const root = await layOut('mode', { ...machine, '/var/lib/nvpmodel/status': 'pmode:0007 fmode:quiet' });
  t.deepEqual((await detectDevice(root)).powerMode, { name: 'mode 7', id: 7 });
  t.deepEqual((await detectDevice(await layOut('no mode', machine))).powerMode, { name: 'default' });
});

const huge = '9223372036854771712\n';
const v2 = '/sys/fs/cgroup';
const v1 = '/sys/fs/cgroup/memory';

for (const [what, files, expectedBytes, source] of [
  ['none', {}, 3 * gibibyte, /MemAvailable/],
  [
    'v2 own group',
    { '/proc/self/cgroup': '0::/app\n', [`${v2}/app/memory.max`]: `${512 * mebibyte}\n` },
    512 * mebibyte,
    /app\/memory\.max/,
  ],
  [
    'v2 tighter ancestor',
    {
      '/proc/self/cgroup': '0::/pod/app/task\n',
      [`${v2}/pod/memory.max`]: `${300 * mebibyte}\n`,
      [`${v2}/pod/app/memory.max`]: `${800 * mebibyte}\n`,
      [`${v2}/pod/app/task/memory.max`]: 'max\n',
    },
    300 * mebibyte,
    /: \/sys\/fs\/cgroup\/pod\/memory\.max/,
  ],
  [
    'v2 memory.high below memory.max',
    {
      '/proc/self/cgroup': '0::/app\n',
      [`${v2}/app/memory.max`]: `${800 * mebibyte}`,
      [`${v2}/app/memory.high`]: `${600 * mebibyte}`,
    },
    600 * mebibyte,
    /memory\.high/,
  ],
  [
    'v2 max everywhere',
    { '/proc/self/cgroup': '0::/app\n', [`${v2}/app/memory.max`]: 'max\n', [`${v2}/app/memory.high`]: 'max\n' },
    3 * gibibyte,
    /MemAvailable/,
  ],
  [
    'v2 in a container: the mount is the own group',
    { '/proc/self/cgroup': '0::/\n', [`${v2}/memory.max`]: `${700 * mebibyte}\n` },
    700 * mebibyte,
    /cgroup\/memory\.max/,
  ],
  [
    'v2 group outside the namespace',
    { '/proc/self/cgroup': '0::/../other\n', [`${v2}/memory.max`]: `${710 * mebibyte}\n` },
    710 * mebibyte,
    /cgroup\/memory\.max/,
  ],
  [
    'v2 beside v1 (hybrid)',
    {
      '/proc/self/cgroup': '4:memory:/app\n0::/app\n',
      [`${v2}/unified/app/memory.max`]: `${900 * mebibyte}\n`,
      [`${v1}/app/memory.limit_in_bytes`]: `${400 * mebibyte}\n`,
    },
    400 * mebibyte,
    /memory\.limit_in_bytes/,
  ],
  [
    'v1 nested',
    {
      '/proc/self/cgroup': '9:cpu,cpuacct:/\n4:memory:/docker/abc\n',
      [`${v1}/memory.limit_in_bytes`]: huge,
      [`${v1}/docker/memory.limit_in_bytes`]: `${250 * mebibyte}\n`,
      [`${v1}/docker/abc/memory.limit_in_bytes`]: `${500 * mebibyte}\n`,
    },
    250 * mebibyte,
    /docker\/memory\.limit_in_bytes/,
  ],
  [
    'v1 sentinel values',
    {
      '/proc/self/cgroup': '4:memory:/app\n',
      [`${v1}/memory.limit_in_bytes`]: huge,
      [`${v1}/app/memory.limit_in_bytes`]: huge,
    },
    3 * gibibyte,
    /MemAvailable/,
  ],
  [
    'v1 in a container: only the mount exists',
    { '/proc/self/cgroup': '4:memory:/docker/abc\n', [`${v1}/memory.limit_in_bytes`]: `${333 * mebibyte}\n` },
    333 * mebibyte,
    /memory\/memory\.limit_in_bytes/,
  ],
  [
    'v1 in a container that has its own part mounted, with a group of its own below',
    {
      '/proc/self/cgroup': '4:memory:/docker/abc/task\n',
      '/proc/self/mountinfo': `1030 1023 0:32 /docker/abc ${v1} ro,nosuid,nodev,noexec,relatime master:15 - cgroup memory rw,memory\n`,
      [`${v1}/memory.limit_in_bytes`]: `${500 * mebibyte}\n`,
      [`${v1}/task/memory.limit_in_bytes`]: `${222 * mebibyte}\n`,
    },
    222 * mebibyte,
    /memory\/task\/memory\.limit_in_bytes/,
  ],
  [
    'v2 mounted somewhere else',
    {
      '/proc/self/cgroup': '0::/pod/app\n',
      '/proc/self/mountinfo': '35 24 0:29 / /run/cgroups rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n',
      '/run/cgroups/pod/memory.max': `${444 * mebibyte}\n`,
      '/run/cgroups/pod/app/memory.max': 'max\n',
    },
    444 * mebibyte,
    /run\/cgroups\/pod\/memory\.max/,
  ],
  [
    'limit above MemAvailable',
    { '/proc/self/cgroup': '0::/\n', [`${v2}/memory.max`]: `${64 * gibibyte}` },
    3 * gibibyte,
    /MemAvailable/,
  ],
] as const satisfies readonly (readonly [string, Readonly<Record<string, string>>, number, RegExp])[]) {
  test(`cgroup limit: ${what}`, async (t) => {
    const profile = await detectDevice(await layOut(`cgroup ${what}`, { ...machine, ...files }));
    t.is(profile.limits.memoryBytes.value, expectedBytes);
    t.regex(profile.limits.memoryBytes.source, source);
    t.true((profile.memoryUsableBytes?.value ?? Number.NaN) <= profile.memoryTotalBytes.value);
    t.deepEqual(parseProfile(JSON.stringify(profile), 'detected'), profile);
  });
}

for (const [what, files, threads] of [
  [
    'v2 1.5 cores of an ancestor',
    { '/proc/self/cgroup': '0::/pod/app\n', [`${v2}/pod/cpu.max`]: '150000 100000\n' },
    2,
  ],
  ['v2 max', { '/proc/self/cgroup': '0::/app\n', [`${v2}/app/cpu.max`]: 'max 100000\n' }, 4],
  [
    'v1 quota',
    {
      '/proc/self/cgroup': '9:cpu,cpuacct:/app\n',
      '/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us': '50000\n',
      '/sys/fs/cgroup/cpu/app/cpu.cfs_period_us': '100000\n',
    },
    1,
  ],
  [
    'v1 no quota',
    {
      '/proc/self/cgroup': '9:cpu:/app\n',
      '/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu/app/cpu.cfs_period_us': '100000\n',
    },
    4,
  ],
] as const satisfies readonly (readonly [string, Readonly<Record<string, string>>, number])[]) {
  test(`threads: ${what}`, async (t) => {
    const profile = await detectDevice(await layOut(`threads ${what}`, { ...machine, ...files }));
    t.is(profile.limits.threads.value, threads);
  });
}

test('a system without /proc/meminfo is refused', async (t) => {
  await t.throwsAsync(detectDevice(await layOut('nothing', {})), {
    instanceOf: ProfileError,
    message: /expected MemTotal and MemAvailable in \/proc\/meminfo but found none\nHint: /,
  });
});

test('this machine', async (t) => {
  if (process.platform !== 'linux') {
    t.pass();
    t.log('skipped: detection reads /proc, which only Linux has');
    return;
  }
  const profile = await detectDevice();
  t.is(profile.cpu.architecture, process.arch);
  t.true(profile.limits.threads.value >= 1 && profile.limits.threads.value <= availableParallelism());
  t.true(profile.limits.memoryBytes.value <= profile.memoryTotalBytes.value);
  t.deepEqual(parseProfile(JSON.stringify(profile), 'detected'), profile);
});
