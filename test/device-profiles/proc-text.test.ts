/** @file The parsers of what a board says of itself, on text as boards print it. */
import test from 'ava';
import {
  parseCpuinfo,
  parseDeviceTreeStrings,
  parseMeminfo,
  parseNvpmodel,
  parseTegraRelease,
} from '../../device-profiles/proc-text.ts';

test('meminfo: kB are KiB; MemFree where a kernel is too old for MemAvailable', (t) => {
  const text = 'MemTotal:        7802676 kB\nMemFree:          812344 kB\nMemAvailable:    6553600 kB\nBuffers: 1 kB\n';
  t.deepEqual(parseMeminfo(text), { totalBytes: 7802676 * 1024, availableBytes: 6553600 * 1024 });
  t.is(parseMeminfo(text.replace(/MemAvailable.*\n/, '')).availableBytes, 812344 * 1024);
  t.deepEqual(parseMeminfo('SwapTotal: 0 kB\n'), { totalBytes: null, availableBytes: null });
});

const core = (n: number, implementer: string, part: string) =>
  [
    `processor\t: ${n}`,
    'BogoMIPS\t: 62.50',
    `CPU implementer\t: ${implementer}`,
    'CPU architecture: 8',
    `CPU part\t: ${part}`,
    'CPU revision\t: 1',
  ].join('\n');

for (const [what, text, expected] of [
  [
    'TX2: A57 and Denver 2',
    [core(0, '0x41', '0xd07'), core(1, '0x4e', '0x003'), core(2, '0x4e', '0x003'), core(3, '0x41', '0xd07')].join(
      '\n\n',
    ),
    { processors: 4, model: 'Cortex-A57 + Denver 2', megahertz: null },
  ],
  ['Xavier: Carmel', core(0, '0x4e', '0x004'), { processors: 1, model: 'Carmel', megahertz: null }],
  ['Orin', core(0, '0x41', '0xd42'), { processors: 1, model: 'Cortex-A78AE', megahertz: null }],
  ['a core nobody listed', core(0, '0x61', '0x022'), { processors: 1, model: 'core 0x61 0x022', megahertz: null }],
  [
    'x86',
    'processor\t: 0\nmodel name\t: Intel(R) N100\ncpu MHz\t\t: 806.400\n\nprocessor\t: 1\nmodel name\t: Intel(R) N100\n',
    { processors: 2, model: 'Intel(R) N100', megahertz: 806.4 },
  ],
  ['nothing', '', { processors: 0, model: '', megahertz: null }],
] as const) {
  test(`cpuinfo: ${what}`, (t) => t.deepEqual(parseCpuinfo(text), expected));
}

test('device tree: strings that end in NUL', (t) => {
  t.deepEqual(parseDeviceTreeStrings('NVIDIA Jetson Orin Nano Developer Kit\0'), [
    'NVIDIA Jetson Orin Nano Developer Kit',
  ]);
  const compatible = 'nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0';
  t.deepEqual(parseDeviceTreeStrings(compatible), [
    'nvidia,p3768-0000+p3767-0005',
    'nvidia,p3767-0005',
    'nvidia,tegra234',
  ]);
  t.deepEqual(parseDeviceTreeStrings(''), []);
});

for (const [text, release] of [
  ['# R32 (release), REVISION: 7.6, GCID: 38171779, BOARD: t210ref, EABI: aarch64, DATE: Tue Nov  5 2024\n', '32.7.6'],
  ['# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n', '36.4.3'],
  ['# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64\n', '38.2.0'],
  ['', null],
] as const) {
  test(`nv_tegra_release: ${release}`, (t) => t.is(parseTegraRelease(text), release));
}

const configuration = `# < POWER_MODEL ID=id_num NAME=mode_name >
# PARAM1_NAME ARG11_NAME ARG11_VAL
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_1 /sys/devices/system/cpu/cpu1/online

< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_1 1
< POWER_MODEL ID=1 NAME=25W >
<POWER_MODEL ID=2 NAME=MAXN_SUPER>
 < POWER_MODEL ID=5 NAME=MODE_10W_DESKTOP >
< PM_CONFIG DEFAULT=1 >
`;

for (const [status, expected] of [
  ['pmode:0000', { id: 0, name: '15W', watts: 15 }],
  ['pmode:0001 fmode:quiet\n', { id: 1, name: '25W', watts: 25 }],
  ['pmode:0002', { id: 2, name: 'MAXN_SUPER', watts: null }],
  ['pmode:0005', { id: 5, name: 'MODE_10W_DESKTOP', watts: 10 }],
  ['pmode:0009', { id: 9, name: null, watts: null }],
  ['', null],
] as const) {
  test(`nvpmodel: status "${status.trim()}"`, (t) => t.deepEqual(parseNvpmodel(status, configuration), expected));
}
