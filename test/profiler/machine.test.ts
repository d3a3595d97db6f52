/** Rates of the machine that was measured, and of no other. */
import test from 'ava';
import { detectDevice } from '../../device-profiles/detect.ts';
import { loadProfile } from '../../device-profiles/profiles.ts';
import { rooflineRates } from '../../device-profiles/rates.ts';
import type { DeviceProfile } from '../../device-profiles/schema.ts';
import { describeMachine, machineRates } from '../../tools/profiler/machine.ts';
import { layOut } from '../support/laid-out.ts';

const files = {
  '/proc/meminfo': 'MemTotal: 4060000 kB\nMemAvailable: 3500000 kB\n',
  '/proc/cpuinfo': 'processor: 0\nprocessor: 1\nprocessor: 2\nprocessor: 3\nmodel name: ARMv8 Processor rev 1 (v8l)\n',
  '/proc/device-tree/model': 'NVIDIA Jetson Nano Developer Kit\0',
  '/proc/device-tree/compatible': 'nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,tegra210\0',
};

test('a board has the rates of its own profile, whichever board is emulated on it', async (t) => {
  await using board = await layOut({
    ...files,
    '/etc/nvpmodel.conf': '< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=5W >\n',
    '/var/lib/nvpmodel/status': 'pmode:0000',
  });
  const rates = rooflineRates(await loadProfile('jetson-nano-4gb'));
  t.not(rates, null);
  t.deepEqual(await machineRates(null, board.root), rates);
  t.deepEqual(await machineRates(await loadProfile('jetson-agx-orin-64gb'), board.root), rates);
  t.is((await describeMachine(board.root)).board, 'NVIDIA Jetson Nano Developer Kit');
});

test('a calibrated profile counts on the processor it was calibrated on', async (t) => {
  const { '/proc/device-tree/model': _, '/proc/device-tree/compatible': __, ...unknown } = files;
  await using machine = await layOut(unknown);
  const figure = (value: number) => ({ value, kind: 'measured' as const, source: 'calibrated' });
  const calibrated: DeviceProfile = {
    ...(await detectDevice(machine.root)),
    rates: { gemmFlopsPerSecond: figure(90e9), simdBytesPerSecond: figure(9e9), copyBytesPerSecond: figure(8e9) },
  };
  t.deepEqual(await machineRates(calibrated, machine.root), {
    ...{ flopsPerSecond: 90e9, bytesPerSecond: 9e9, basis: 'calibrated on the device' },
  });
  const other = { ...calibrated, cpu: { ...calibrated.cpu, model: 'another' } };
  t.is(await machineRates(other, machine.root), null);
  t.is(await machineRates(await loadProfile('jetson-nano-4gb'), machine.root), null);
  t.is(await machineRates(null, machine.root), null);
});
