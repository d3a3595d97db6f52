/** Limits held for real where this machine grants them, and on laid-out machines where it does not. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { affinity, allowedCores } from '../../tools/profiler/limits/affinity.ts';
import { holdCgroupV1 } from '../../tools/profiler/limits/cgroup-v1.ts';
import { holdCgroupV2 } from '../../tools/profiler/limits/cgroup-v2.ts';
import { chooseLimit } from '../../tools/profiler/limits/choose.ts';
import { delegate } from '../../tools/profiler/limits/delegate.ts';
import { type ControlGroup, type Holder, type LimitWanted, Refused } from '../../tools/profiler/limits/limit.ts';
import { makeGroup, removeGroup } from '../../tools/profiler/limits/own-groups.ts';
import { holdSystemdScope } from '../../tools/profiler/limits/systemd-scope.ts';
import { holdWatchdog } from '../../tools/profiler/limits/watchdog.ts';
import { layOut } from '../support/laid-out.ts';

const MIB = 2 ** 20;

/** A program that fills so many MiB, piece by piece. */
const fill = (mebibytes: number): string[] => [
  process.execPath,
  '-e',
  `const held = []; const more = () => { held.push(Buffer.alloc(2 ** 20, 1)); if (held.length < ${mebibytes}) setImmediate(more); }; more();`,
];

/** A holder, or null where this machine refuses the kind: its reason is logged and the test has nothing to do. */
async function held(
  t: ExecutionContext,
  hold: (wanted: LimitWanted, root: string) => Promise<Holder>,
  wanted: LimitWanted,
): Promise<Holder | null> {
  try {
    return await hold(wanted, '/');
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    t.log(`not here: ${error.message}`);
    t.pass();
    return null;
  }
}

interface Run {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly group: ControlGroup | null;
}

async function runHeld(holder: Holder, command: readonly string[]): Promise<Run> {
  const [file = '', ...args] = holder.wrap(command);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const group = await holder.started(child.pid ?? 0);
  const [code, signal] = await closed;
  return { code, signal, stdout, group };
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

for (const [kind, hold] of [
  ['cgroup v1', holdCgroupV1],
  ['cgroup v2', holdCgroupV2],
  ['systemd scope', holdSystemdScope],
] as const) {
  test.serial(`${kind}: what fits runs, what does not is killed and counted, nothing is left behind`, async (t) => {
    const wanted = { memoryBytes: 96 * MIB, cpus: null };
    const small = await held(t, hold, wanted);
    if (small === null) return;
    const fits = await runHeld(small, fill(16));
    t.like(fits, { code: 0, signal: null });
    t.is(small.oomKills(), 0);
    await small[Symbol.asyncDispose]();
    const large = await held(t, hold, wanted);
    if (large === null) return;
    const { code, signal, group } = await runHeld(large, fill(200));
    t.deepEqual([code, signal], [null, 'SIGKILL']);
    t.is(large.oomKills(), 1);
    await large[Symbol.asyncDispose]();
    t.false(await exists(group?.folder ?? ''), `${group?.folder}`);
  });
}

test.serial('a quota of CPU time', async (t) => {
  const wanted = { memoryBytes: 256 * MIB, cpus: 0.25 };
  const { holder } = await chooseLimit(wanted, '/');
  const busy = 'const end = Date.now() + 800; while (Date.now() < end); console.log(process.cpuUsage().user / 1000);';
  const { stdout } = await runHeld(holder, [process.execPath, '-e', busy]);
  await holder[Symbol.asyncDispose]();
  if (holder.kind === 'watchdog') t.is(holder.cpus, null);
  else {
    t.is(holder.cpus, 0.25);
    // A quarter of 800 ms and some periods of 100 ms; less where others keep the machine busy.
    t.true(Number(stdout) > 0 && Number(stdout) < 400, `${stdout} ms`);
  }
});

test.serial('groups of a killed profiler are removed, with the command that outlived it', async (t) => {
  const { holder } = await chooseLimit({ memoryBytes: 64 * MIB, cpus: null }, '/', [
    'cgroup v2',
    'cgroup v1',
    'watchdog',
  ]);
  const group = await holder.started(process.pid);
  await holder[Symbol.asyncDispose]();
  if (group === null) return t.pass('no control groups here');
  const module = (name: string): string =>
    JSON.stringify(new URL(`../../tools/profiler/limits/${name}.js`, import.meta.url).href);
  const program = `
    import { spawn } from 'node:child_process';
    const { chooseLimit } = await import(${module('choose')});
    const { holder } = await chooseLimit({ memoryBytes: ${64 * MIB}, cpus: null }, '/', ['cgroup v2', 'cgroup v1']);
    const [file, ...args] = holder.wrap(['sleep', '60']);
    const child = spawn(file, args, { detached: true, stdio: 'ignore' });
    const { folder } = await holder.started(child.pid);
    setTimeout(() => { console.log(JSON.stringify({ folder, pid: child.pid })); process.kill(process.pid, 'SIGKILL'); }, 100);`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  const { folder, pid } = JSON.parse(stdout) as { folder: string; pid: number };
  t.is((await readFile(join(folder, 'cgroup.procs'), 'utf8')).trim(), `${pid}`);
  const next = await makeGroup(dirname(folder));
  t.false(await exists(folder));
  t.true(await removeGroup(next));
  // Nobody may have waited for it yet.
  t.regex(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => 'Z'), /(^|\) )Z/);
});

test('the watchdog kills a process and its children when they pass the cap together', async (t) => {
  const holder = await holdWatchdog({ memoryBytes: 220 * MIB, cpus: null }, '/');
  const child = `${fill(100)[2]} setInterval(() => {}, 1000);`;
  const parent = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(child)}]); ${child}`;
  const { signal } = await runHeld(holder, [process.execPath, '-e', parent]);
  t.is(signal, 'SIGKILL');
  t.is(holder.oomKills(), 2);
  await holder[Symbol.asyncDispose]();
});

test('the watchdog leaves alone what stays below', async (t) => {
  const holder = await holdWatchdog({ memoryBytes: 220 * MIB, cpus: null }, '/');
  t.like(await runHeld(holder, fill(40)), { code: 0, signal: null });
  t.is(holder.oomKills(), 0);
  await holder[Symbol.asyncDispose]();
});

test('cores: the first of those allowed, by taskset', async (t) => {
  const allowed = allowedCores('/');
  const one = affinity(1, '/');
  if (one.missing !== null) return t.pass(one.missing);
  t.is(one.cores, 1);
  const [file = '', ...args] = one.wrap([process.execPath, '-p', 'os.availableParallelism()']);
  t.is(execFileSync(file, args, { encoding: 'utf8' }).trim(), '1');
  t.like(affinity(null, '/'), { cores: null, missing: null });
  t.like(affinity(allowed.length, '/'), { cores: allowed.length, missing: null });
  t.regex(affinity(allowed.length + 1, '/').missing ?? '', /there are only/);
});

test('cores that a process may run on', async (t) => {
  await using machine = await layOut({ '/proc/self/status': 'Name:\tx\nCpus_allowed_list:\t0-2,5,8-9\n' });
  t.deepEqual(allowedCores(machine.root), [0, 1, 2, 5, 8, 9]);
});

const v2 = {
  '/proc/self/mountinfo': '30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
  '/proc/self/cgroup': '0::/user.slice/app.slice/run-1.scope\n',
};
const slice = '/sys/fs/cgroup/user.slice/app.slice';
const own = `${slice}/run-1.scope`;

test('version 2: a group beside its own where that one may have none below', async (t) => {
  await using machine = await layOut({
    ...v2,
    // Without cgroup.subtree_control, which the kernel would refuse to have written.
    [`${own}/cgroup.controllers`]: 'cpu memory pids\n',
    ...{
      [`${own}/cgroup.procs`]: `${process.pid}\n1\n`,
      [`${own}/memory.max`]: 'max\n',
      [`${own}/cpu.max`]: 'max 100000\n',
    },
    ...{ [`${slice}/cgroup.subtree_control`]: 'cpu memory pids\n' },
  });
  const holder = await holdCgroupV2({ memoryBytes: 64 * MIB, cpus: 1.5 }, machine.root);
  t.is(holder.kind, 'cgroup v2');
  const group = await holder.started(1);
  t.is(dirname(group?.folder ?? ''), join(machine.root, slice));
  const line = (file: string) => readFile(join(group?.folder ?? '', file), 'utf8');
  t.is(await line('memory.max'), `${64 * MIB}`);
  t.is(await line('cpu.max'), '150000 100000');
  const [file = '', ...args] = holder.wrap(['sh', '-c', 'echo $$']);
  const pid = execFileSync(file, args, { encoding: 'utf8' });
  t.is(await line('cgroup.procs'), pid, 'the command is in the group before it begins');
});

test('version 2 is refused without the controllers, and beside a limited group', async (t) => {
  await using bare = await layOut({ ...v2, [`${own}/cgroup.controllers`]: 'pids\n' });
  const wanted = { memoryBytes: 64 * MIB, cpus: 1 };
  await t.throwsAsync(holdCgroupV2(wanted, bare.root), {
    instanceOf: Refused,
    message: /no controller of memory and cpu/,
  });
  await using limited = await layOut({
    ...v2,
    ...{ [`${own}/cgroup.controllers`]: 'cpu memory\n', [`${own}/memory.max`]: '1000000\n' },
    [`${slice}/cgroup.subtree_control`]: 'cpu memory\n',
  });
  await t.throwsAsync(holdCgroupV2(wanted, limited.root), {
    instanceOf: Refused,
    message: /run-1\.scope is limited itself/,
  });
  t.deepEqual(await readdir(join(limited.root, slice)), ['cgroup.subtree_control', 'run-1.scope']);
});

test('version 1: a group in each hierarchy, below this one', async (t) => {
  const mounts = '/sys/fs/cgroup';
  await using machine = await layOut({
    '/proc/self/mountinfo':
      `1 1 0:1 / ${mounts}/memory rw - cgroup cgroup rw,memory\n` +
      `2 1 0:2 / ${mounts}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n`,
    '/proc/self/cgroup': '4:memory:/job\n3:cpu,cpuacct:/\n',
    ...{ [`${mounts}/memory/job/tasks`]: '', [`${mounts}/cpu,cpuacct/tasks`]: '' },
  });
  const holder = await holdCgroupV1({ memoryBytes: 64 * MIB, cpus: 2 }, machine.root);
  t.like(holder, { kind: 'cgroup v1', cpus: 2 });
  const memory = (await holder.started(1))?.folder ?? '';
  t.is(dirname(memory), join(machine.root, mounts, 'memory/job'));
  t.is(await readFile(join(memory, 'memory.limit_in_bytes'), 'utf8'), `${64 * MIB}`);
  const [cpu = ''] = (await readdir(join(machine.root, mounts, 'cpu,cpuacct'))).filter((name) =>
    name.startsWith('edgeshift'),
  );
  t.is(await readFile(join(machine.root, mounts, 'cpu,cpuacct', cpu, 'cpu.cfs_quota_us'), 'utf8'), '200000');
  t.is(holder.oomKills(), null, 'nobody counts here');
});

test.serial('no processes beside groups: the only one of a group moves below it for as long', async (t) => {
  // Any hierarchy of version 2 with a controller shows the rule; memory need not be among them.
  const mount = /^(?:\S+ ){4}(\S+) .* - cgroup2 /m.exec(await readFile('/proc/self/mountinfo', 'utf8'))?.[1];
  if (mount === undefined) return t.pass('no hierarchy of version 2');
  const module = JSON.stringify(new URL('../../tools/profiler/limits/delegate.js', import.meta.url).href);
  const program = `
    import { readFileSync, readdirSync } from 'node:fs';
    const { delegate } = await import(${module});
    const [folder, controller] = process.argv.slice(1);
    const state = () => ({
      own: readFileSync('/proc/self/cgroup', 'utf8').match(/^0::(.*)$/m)[1],
      delegated: readFileSync(folder + '/cgroup.subtree_control', 'utf8').trim(),
      below: readdirSync(folder).filter((name) => name.startsWith('edgeshift-')).length,
    });
    const before = state();
    const restore = await delegate(folder, [controller]);
    const during = state();
    await restore();
    console.log(JSON.stringify({ before, during, after: state() }));`;
  let folder: string;
  try {
    folder = await makeGroup(mount);
  } catch (error) {
    return t.pass(`not here: ${(error as Error).message}`);
  }
  try {
    const [controller = ''] = (await readFile(join(folder, 'cgroup.controllers'), 'utf8')).trim().split(' ');
    if (controller === '') return t.pass('groups here have no controllers');
    const enter = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';
    const node = [process.execPath, '--input-type=module', '-e', program, folder, controller];
    const { stdout, stderr } = spawnSync('sh', ['-c', enter, 'sh', folder, ...node], { encoding: 'utf8' });
    const { before, during, after } = JSON.parse(stdout);
    t.is(during.delegated, controller, stderr);
    t.is(during.own, `${before.own}/${during.own.split('/').at(-1)}`);
    t.is(during.below, 1);
    t.deepEqual(after, before);
    t.deepEqual([before.delegated, before.below], ['', 0]);
  } finally {
    await removeGroup(folder);
  }
});

test('what cannot be delegated is said with its file', async (t) => {
  await using machine = await layOut({ '/g/cgroup.procs': '' });
  await t.throwsAsync(delegate(join(machine.root, 'g'), ['memory']), {
    instanceOf: Refused,
    message: /g\/cgroup\.subtree_control cannot be written: ENOENT/,
  });
});

/** In place of the service manager: writes down what it was asked for, and runs the command. */
const standIn = '#!/bin/sh\nwhile [ "$1" != -- ]; do echo "$1"; shift; done > "$ASKED"; shift; exec "$@"\n';

test.serial('a scope is asked for its limit, and believed once it has it', async (t) => {
  await using machine = await layOut({ '/bin/systemd-run': standIn, '/sys/fs/cgroup/memory.max': `${64 * MIB}\n` });
  await chmod(join(machine.root, 'bin/systemd-run'), 0o755);
  const { PATH } = process.env;
  const asked = join(machine.root, 'asked');
  const path = /^0::(.*)$/m.exec(await readFile('/proc/self/cgroup', 'utf8'))?.[1];
  if (path !== '/') await machine.write({ [`/sys/fs/cgroup${path}/memory.max`]: `${64 * MIB}\n` });
  process.env.PATH = `${machine.root}/bin:${PATH}`;
  process.env.ASKED = asked;
  try {
    const holder = await holdSystemdScope({ memoryBytes: 64 * MIB, cpus: 1.5 }, machine.root);
    t.like(holder, { kind: 'systemd scope', cpus: 1.5 });
    const options = (await readFile(asked, 'utf8')).trim().split('\n');
    t.deepEqual(options.slice(0, 4), ['--user', '--scope', '--quiet', '--collect']);
    t.deepEqual(
      options.filter((option) => option.includes('=')),
      [`MemoryMax=${64 * MIB}`, 'MemorySwapMax=0', 'CPUQuota=150%'],
    );
    await t.throwsAsync(holdSystemdScope({ memoryBytes: 32 * MIB, cpus: null }, machine.root), {
      instanceOf: Refused,
      message: /MemoryMax=33554432 got a memory\.max of 67108864/,
    });
  } finally {
    process.env.PATH = PATH;
    delete process.env.ASKED;
  }
});

test('the chooser takes the first that can be had and says why the others could not', async (t) => {
  await using machine = await layOut({ '/proc/self/cgroup': '', '/proc/self/mountinfo': '' });
  const { holder, refused } = await chooseLimit({ memoryBytes: 64 * MIB, cpus: null }, machine.root, [
    'cgroup v2',
    'cgroup v1',
    'watchdog',
  ]);
  t.is(holder.kind, 'watchdog');
  t.deepEqual(refused, [
    'cgroup v2: no hierarchy of version 2 is mounted',
    'cgroup v1: no memory hierarchy is mounted',
  ]);
  await holder[Symbol.asyncDispose]();
  const free = await chooseLimit({ memoryBytes: null, cpus: null }, machine.root);
  t.is(free.holder.kind, 'none');
  await t.throwsAsync(chooseLimit({ memoryBytes: 1, cpus: null }, machine.root, ['cgroup v1']), {
    instanceOf: Refused,
    message: /no memory hierarchy/,
  });
});
