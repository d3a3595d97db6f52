/** What boards and kernels tell, laid out as files; and the same of this very process where the kernel has it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { GroupMemory } from '../../device-profiles/probes/group-memory.ts';
import { Pressure } from '../../device-profiles/probes/pressure.ts';
import type { Found } from '../../device-profiles/probes/probe.ts';
import { parseStatus } from '../../device-profiles/probes/process-status.ts';
import { Clocks } from '../../tools/profiler/probes/clocks.ts';
import { openIna3221 } from '../../tools/profiler/probes/ina3221.ts';
import { parseNvpmodelQuery, powerMode } from '../../tools/profiler/probes/power-mode.ts';
import { EnergySum, firstSource } from '../../tools/profiler/probes/power-source.ts';
import { processTree } from '../../tools/profiler/probes/process-tree.ts';
import { openRapl } from '../../tools/profiler/probes/rapl.ts';
import { Thermal } from '../../tools/profiler/probes/thermal.ts';
import { TreeMemory } from '../../tools/profiler/probes/tree-memory.ts';
import { layOut } from '../support/laid-out.ts';

const MIB = 2 ** 20;

function found<T>(t: ExecutionContext, what: Found<T>): T {
  if ('probe' in what) return what.probe;
  t.fail((what as { missing: string }).missing);
  throw new Error(t.title);
}

function missing<T>(t: ExecutionContext, what: Found<T>, reason: RegExp): void {
  t.regex('missing' in what ? what.missing : 'found', reason);
}

const nothing = await layOut({});
test.after.always(() => nothing[Symbol.asyncDispose]());

test('INA3221 of an Orin: the rail of the whole board, volts times amperes', async (t) => {
  const chip = '/sys/class/hwmon/hwmon3';
  await using machine = await layOut({
    '/sys/class/hwmon/hwmon0/name': 'pwmfan\n',
    [`${chip}/name`]: 'ina3221\n',
    ...{ [`${chip}/in1_label`]: 'VDD_IN\n', [`${chip}/in1_input`]: '5000\n', [`${chip}/curr1_input`]: '1200\n' },
    ...{ [`${chip}/in2_label`]: 'VDD_CPU_GPU_CV\n', [`${chip}/in2_input`]: '5000\n', [`${chip}/curr2_input`]: '400\n' },
    ...{ [`${chip}/in4_label`]: 'sum of shunt voltages\n', [`${chip}/in4_input`]: '8\n' },
  });
  const power = found(t, openIna3221(machine.root));
  t.is(power.name, 'INA3221 VDD_IN');
  t.deepEqual(await power.read(), { watts: 6, joules: 0 });
  await machine.write({ [`${chip}/curr1_input`]: '2400\n' });
  const later = await power.read();
  t.is(later?.watts, 12);
  t.true((later?.joules ?? 0) > 0);
  power.close();
});

test('INA3221 without a rail of the whole board: the sum of both chips', async (t) => {
  const rail = (chip: number, n: number, label: string, volts: number, amperes: number) => ({
    [`/sys/class/hwmon/hwmon${chip}/name`]: 'ina3221\n',
    [`/sys/class/hwmon/hwmon${chip}/in${n}_label`]: label,
    [`/sys/class/hwmon/hwmon${chip}/in${n}_input`]: `${1000 * volts}`,
    [`/sys/class/hwmon/hwmon${chip}/curr${n}_input`]: `${1000 * amperes}`,
  });
  await using machine = await layOut({
    ...rail(4, 1, 'VDD_GPU_SOC', 20, 0.25),
    ...rail(4, 2, 'VDD_CPU_CV', 20, 0.1),
    ...rail(5, 2, 'VIN_SYS_5V0', 5, 0.6),
  });
  const power = found(t, openIna3221(machine.root));
  t.is(power.name, 'INA3221 VDD_GPU_SOC + VDD_CPU_CV + VIN_SYS_5V0');
  t.is((await power.read())?.watts.toFixed(6), '10.000000');
  power.close();
});

test('INA3221 of a Nano under L4T 32: an iio device', async (t) => {
  const device = '/sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0';
  await using machine = await layOut({
    ...{ [`${device}/rail_name_0`]: 'POM_5V_IN\n', [`${device}/in_power0_input`]: '2345\n' },
    ...{ [`${device}/rail_name_1`]: 'POM_5V_GPU\n', [`${device}/in_power1_input`]: '40\n' },
  });
  const power = found(t, openIna3221(machine.root));
  t.is(power.name, 'INA3221 POM_5V_IN');
  t.is((await power.read())?.watts.toFixed(6), '2.345000');
  power.close();
});

test('RAPL: packages together, and a counter that wraps around', async (t) => {
  const zone = '/sys/class/powercap/intel-rapl:';
  const range = 262_143_328_850;
  const joules = (first: number, second: number) => ({
    [`${zone}0/energy_uj`]: `${first}\n`,
    [`${zone}1/energy_uj`]: `${second}\n`,
  });
  await using machine = await layOut({
    ...{ [`${zone}0/name`]: 'package-0\n', [`${zone}0/max_energy_range_uj`]: `${range}\n` },
    ...{ [`${zone}1/name`]: 'package-1\n', [`${zone}1/max_energy_range_uj`]: `${range}\n` },
    ...{ [`${zone}2/name`]: 'psys\n', [`${zone}2/energy_uj`]: '5\n' },
    ...{ [`${zone}0:0/name`]: 'core\n', [`${zone}0:0/energy_uj`]: '7\n' },
    ...joules(range - 1_000_000, 3_000_000),
  });
  const power = found(t, openRapl(machine.root));
  t.is(power.name, 'RAPL package-0 + package-1');
  t.is((await power.read())?.joules, 0);
  await machine.write(joules(2_000_000, 3_500_000));
  const reading = await power.read();
  t.is(reading?.joules.toFixed(6), '3.500000');
  t.true((reading?.watts ?? 0) > 0);
  power.close();
});

test('energy is the area under the power, with a straight line between readings', (t) => {
  const energy = new EnergySum();
  t.deepEqual(energy.add(2, 1000), { watts: 2, joules: 0 });
  t.deepEqual(energy.add(4, 1500), { watts: 4, joules: 1.5 });
  t.deepEqual(energy.add(4, 2500), { watts: 4, joules: 5.5 });
});

test('clocks: the mean over the cores, of which a policy holds several', async (t) => {
  const policy = '/sys/devices/system/cpu/cpufreq/policy';
  await using machine = await layOut({
    ...{ [`${policy}0/scaling_cur_freq`]: '1000000\n', [`${policy}0/affected_cpus`]: '0 1 2\n' },
    ...{ [`${policy}3/scaling_cur_freq`]: '2000000\n', [`${policy}3/affected_cpus`]: '3\n' },
  });
  const clocks = found(t, Clocks.open(machine.root));
  t.is(clocks.read(), 1250);
  clocks.close();
});

test('temperatures: the hottest zone, without constants and sensors that are off', async (t) => {
  const zone = '/sys/class/thermal/thermal_zone';
  await using machine = await layOut({
    ...{ [`${zone}0/type`]: 'CPU-therm\n', [`${zone}0/temp`]: '41500\n' },
    ...{ [`${zone}1/type`]: 'GPU-therm\n', [`${zone}1/temp`]: '44250\n' },
    ...{ [`${zone}2/type`]: 'PMIC-Die\n', [`${zone}2/temp`]: '100000\n' },
    ...{ [`${zone}3/type`]: 'CV0-therm\n', [`${zone}3/temp`]: '-256000\n' },
  });
  const thermal = found(t, Thermal.open(machine.root));
  t.is(thermal.read(), 44.25);
  thermal.close();
});

test("pressure: the group's own, else the system's", async (t) => {
  const text = (avg: string) =>
    `some avg10=${avg} avg60=0.00 avg300=0.00 total=9\nfull avg10=99.00 avg60=0 avg300=0 total=9\n`;
  await using machine = await layOut({
    '/proc/pressure/memory': text('12.50'),
    '/sys/fs/cgroup/g/memory.pressure': text('3.00'),
  });
  const own = found(t, Pressure.open(machine.root, { version: 2, folder: `${machine.root}/sys/fs/cgroup/g` }));
  t.is(own.read(), 0.03);
  const whole = found(t, Pressure.open(machine.root, { version: 1, folder: `${machine.root}/sys/fs/cgroup/g` }));
  t.is(whole.read(), 0.125);
  t.deepEqual([own.isOwn, whole.isOwn], [true, false]);
  for (const probe of [own, whole]) probe.close();
});

test('what a control group counts, in both versions', async (t) => {
  await using machine = await layOut({
    ...{
      '/two/memory.current': '1000\n',
      '/two/memory.peak': '3000\n',
      '/two/memory.stat': 'anon 5\nfile 400\nshmem 100\n',
    },
    ...{ '/one/memory.usage_in_bytes': '2000\n', '/one/memory.max_usage_in_bytes': '2500\n' },
    '/one/memory.stat': 'cache 1\nshmem 1\ntotal_cache 700\ntotal_shmem 0\n',
  });
  const two = found(t, GroupMemory.open({ version: 2, folder: `${machine.root}/two` }));
  t.deepEqual([two.read(), two.pageCacheBytes(), two.peakBytes], [1000, 300, 3000]);
  const one = found(t, GroupMemory.open({ version: 1, folder: `${machine.root}/one` }));
  t.deepEqual([one.read(), one.pageCacheBytes(), one.peakBytes], [2000, 700, 2500]);
  for (const probe of [one, two]) probe.close();
});

test('the power mode: as nvpmodel says, or its files; none on a board without modes', async (t) => {
  t.is(parseNvpmodelQuery('NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_15W_6CORE\n2\n'), 'MODE_15W_6CORE');
  t.is(parseNvpmodelQuery('nvpmodel: error\n'), null);
  const proc = { '/proc/meminfo': 'MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n' };
  await using jetson = await layOut({
    ...proc,
    '/var/lib/nvpmodel/status': 'pmode:0001',
    '/etc/nvpmodel.conf': '< POWER_MODEL ID=1 NAME=5W >\n',
  });
  t.is(await powerMode(jetson.root), '5W');
  await using other = await layOut(proc);
  t.is(await powerMode(other.root), null);
});

test('a machine without any of it says so', (t) => {
  const { root } = nothing;
  missing(t, Clocks.open(root), /no cpufreq/);
  missing(t, Thermal.open(root), /no thermal zone/);
  missing(t, Pressure.open(root, null), /CONFIG_PSI/);
  missing(t, GroupMemory.open(null), /no control group/);
  missing(t, GroupMemory.open({ version: 2, folder: root }), /memory\.current cannot be read/);
  missing(t, firstSource([openIna3221(root), openRapl(root)]), /no INA3221 power monitor; no RAPL/);
});

test('memory of a process: fields of status, with and without those of newer kernels', (t) => {
  const text =
    'Name:\tnode\nVmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t 600 kB\nRssFile:\t 400 kB\n';
  t.deepEqual(parseStatus(text), {
    rssBytes: MIB,
    peakBytes: 2 * MIB,
    anonymousBytes: 624 * 1024,
    fileBytes: 400 * 1024,
  });
  t.like(parseStatus('VmHWM: 4 kB\nVmRSS: 4 kB\n'), { rssBytes: 4096, anonymousBytes: 4096, fileBytes: 0 });
  t.like(parseStatus('Name:\tgone\nState:\tZ (zombie)\n'), { rssBytes: 0 });
});

/** A process with a child that holds some memory each. */
async function family(mebibytes: number) {
  const hold = `globalThis.held = Buffer.alloc(${mebibytes * MIB}, 1);`;
  const child = `${hold} process.stdout.write('ready'); setInterval(() => {}, 1000);`;
  const parent = `${hold} require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}], { stdio: 'inherit' });`;
  const running = spawn(process.execPath, ['-e', parent], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  await once(running.stdout, 'data');
  const pid = running.pid ?? 0;
  return { pid, [Symbol.dispose]: () => process.kill(-pid, 'SIGKILL') };
}

test('a process and its child: found, and measured together', async (t) => {
  using running = await family(40);
  const tree = processTree('/', running.pid);
  t.is(tree.length, 2);
  t.is(tree[0], running.pid);
  const memory = new TreeMemory('/', running.pid);
  const { rssBytes, anonymousBytes, fileBytes } = memory.read();
  t.true(anonymousBytes > 80 * MIB && rssBytes < 400 * MIB, `${anonymousBytes} of ${rssBytes}`);
  t.is(rssBytes, anonymousBytes + fileBytes);
  t.true(memory.peakBytes > 40 * MIB && memory.peakBytes < rssBytes);
  const pss = memory.pssBytes();
  if (pss === null) t.log('the kernel tells no proportional sizes');
  else t.true(pss > 80 * MIB && pss < rssBytes, `both run one program, whose code is shared: ${pss} of ${rssBytes}`);
  memory.close();
});

test('a kernel that lists no children: parents tell', async (t) => {
  const stat = (pid: number, parent: number) => ({ [`/proc/${pid}/stat`]: `${pid} (a ) b) S ${parent} 1 1 0` });
  await using machine = await layOut({
    ...{ ...stat(10, 1), ...stat(11, 10), ...stat(12, 11), ...stat(13, 1), '/proc/10/task/10/comm': 'node' },
  });
  t.deepEqual(processTree(machine.root, 10), [10, 11, 12]);
  t.deepEqual(processTree(machine.root, 99), []);
});
