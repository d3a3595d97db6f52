/** What a service tells of itself, from real processes: the status file, and messages for systemd. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { openServiceStatus, type StatusRecord } from '../../tools/cli/service-status.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-status-'));
test.after.always(() => rm(root, { recursive: true, force: true }));
const program = fileURLToPath(new URL('../support/service-process.js', import.meta.url));
/** Scripts are not compiled: from dist/test/deploy the sources lie three levels up. */
const listenerScript = fileURLToPath(new URL('../../../test/support/notify-listener.py', import.meta.url));

/** How long anything may take on a machine that is busy. */
const PATIENCE_MILLIS = 30_000;

function service(environment: NodeJS.ProcessEnv, ...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [program, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

const read = async (file: string): Promise<StatusRecord> => JSON.parse(await readFile(file, 'utf8'));

/** The file's content as soon as it is as asked for. */
async function until(file: string, enough: (record: StatusRecord) => boolean): Promise<StatusRecord> {
  const end = performance.now() + PATIENCE_MILLIS;
  for (;;) {
    const record = await read(file).catch(() => null);
    if (record !== null && enough(record)) return record;
    if (performance.now() > end) throw new Error(`not within ${PATIENCE_MILLIS} ms: ${JSON.stringify(record)}`);
    await delay(10);
  }
}

test('nobody asked: nothing is told', (t) => {
  t.is(openServiceStatus({}), null);
  t.is(openServiceStatus({ EDGESHIFT_STATUS: '', NOTIFY_SOCKET: '' }), null);
});

test('starting, ready, stopping: the file says so, and is never half-written', async (t) => {
  const file = join(root, 'status.json');
  const child = service({ EDGESHIFT_STATUS: file, EDGESHIFT_RELEASE: '0123456789abcdef' });
  const ready = await until(file, ({ state }) => state === 'ready');
  t.like(ready, { pid: child.pid, release: '0123456789abcdef', error: null });
  t.true(Date.parse(ready.startedAt) <= Date.parse(ready.updatedAt));
  const later = await until(file, ({ frames }) => frames > 0);
  t.true(later.frames >= 2 && later.updates === Math.floor(later.frames / 2), JSON.stringify(later));
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const stopping = await until(file, ({ state }) => state === 'stopping');
  t.true(stopping.frames >= later.frames);
  t.deepEqual(await exited, [0, null]);
  t.like(await read(file), { state: 'stopping', error: null });
  t.deepEqual(
    (await readdir(root)).filter((name) => name.startsWith('status.json.')),
    [],
  );
});

test('what it failed of is told', async (t) => {
  const file = join(root, 'failed.json');
  const child = service({ EDGESHIFT_STATUS: file }, 'fails');
  const [code] = await once(child, 'exit');
  t.is(code, 1);
  t.like(await read(file), { state: 'failed', release: null, error: 'the model is gone\nand nobody knows where' });
});

test('a status that cannot be written is complained of once, and the service goes on', async (t) => {
  await writeFile(join(root, 'file'), '');
  const child = service({ EDGESHIFT_STATUS: join(root, 'file', 'status.json') });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exited = once(child, 'exit');
  while (!stderr.includes('\n')) await delay(10);
  // Ready by then, or starting still: its end is in order either way once it listens.
  await delay(1000);
  child.kill('SIGTERM');
  t.deepEqual(await exited, [0, null]);
  t.regex(stderr, /^edgeshift: cannot write the status: [^\n]*ENOTDIR[^\n]*\n$/);
});

const has = (file: string, ...args: readonly string[]): boolean => spawnSync(file, args).status === 0;

test('systemd is told when it is ready, that it is alive, and when it stops', async (t) => {
  const missing = [
    ...(has('systemd-notify', '--version') ? [] : ['systemd-notify (Debian: apt install systemd)']),
    ...(has('python3', '-c', 'import socket; socket.recv_fds') ? [] : ['python3, 3.9 or later']),
  ];
  if (missing.length > 0) {
    t.log(`skipped: ${missing.join(' and ')} is not here`);
    return t.pass();
  }
  const socket = join(root, 'notify');
  const listener = spawn('python3', [listenerScript, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => listener.kill());
  let heard = '';
  listener.stdout.setEncoding('utf8').on('data', (text: string) => {
    heard += text;
  });
  const hears = async (pattern: RegExp) => {
    const end = performance.now() + PATIENCE_MILLIS;
    while (!pattern.test(heard)) {
      if (performance.now() > end) throw new Error(`${pattern} was not heard: ${heard}`);
      await delay(10);
    }
  };
  await hears(/listening/);
  const child = service({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: '2000000' });
  const exited = once(child, 'exit');
  await hears(/^READY=1 WATCHDOG=1$/m);
  await hears(/^(READY=1 WATCHDOG=1\n(BARRIER=1\n)?){3}/m);
  t.notRegex(heard, /STOPPING/);
  child.kill('SIGTERM');
  await exited;
  await hears(/^STOPPING=1$/m);
  const failing = service({ NOTIFY_SOCKET: socket }, 'fails');
  await once(failing, 'exit');
  await hears(/^STOPPING=1 STATUS=the model is gone$/m);
});
