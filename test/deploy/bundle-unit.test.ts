/** The units, read by systemd itself: nothing unknown in them, and little that the service is exposed to. */
import { execFile, execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { type Needs, systemUnit, userUnit } from '../../tools/deploy/bundle/unit.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-unit-'));
await mkdir(join(root, 'current/service'), { recursive: true });
await writeFile(join(root, 'current/service/run'), '#!/bin/sh\n');
await chmod(join(root, 'current/service/run'), 0o755);
test.after.always(() => rm(root, { recursive: true, force: true }));

const MOST_EXPOSURE = 3;
const MIB = 2 ** 20;
const memory = { planBytes: 100 * MIB, highBytes: 130 * MIB, maxBytes: 147 * MIB };
const none: Needs = { video: false, hid: false, network: false, homes: false, writes: [] };
const everything: Needs = { video: true, hid: true, network: true, homes: true, writes: ['/data/learnt'] };
const needs = { 'a watched folder': none, http: { ...none, network: true }, 'a camera and keys': everything };

const hasAnalyzer = ((): boolean => {
  try {
    execFileSync('systemd-analyze', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

function testAnalyzed(title: string, body: (t: ExecutionContext) => Promise<void>): void {
  test(title, async (t) => {
    if (hasAnalyzer) return body(t);
    t.log('skipped: systemd-analyze is not here (Debian: apt install systemd)');
    t.pass();
  });
}

let units = 0;

/** As it would be installed, in a file. */
async function written(unit: string): Promise<string> {
  const path = join(root, `edgeshift-${units++}.service`);
  await writeFile(path, unit.replaceAll('@ROOT@', root).replaceAll('@USER@', 'edgeshift'));
  return path;
}

interface Analyzed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function analyze(...args: readonly string[]): Promise<Analyzed> {
  return new Promise((resolve) => {
    execFile('systemd-analyze', args, { env: { ...process.env, XDG_RUNTIME_DIR: root } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

for (const [title, need] of Object.entries(needs)) {
  const options = { description: 'edgeshift adapt, tiny', memory, needs: need };

  testAnalyzed(`${title}: systemd finds nothing to object to`, async (t) => {
    const system = await analyze('verify', '--man=no', await written(systemUnit(options)));
    t.deepEqual({ code: system.code, stderr: system.stderr }, { code: 0, stderr: '' });
    const user = await analyze('verify', '--user', '--man=no', await written(userUnit(options)));
    t.deepEqual({ code: user.code, stderr: user.stderr }, { code: 0, stderr: '' });
  });

  testAnalyzed(`${title}: exposed to ${MOST_EXPOSURE} at the most`, async (t) => {
    const path = await written(systemUnit(options));
    const { code, stdout } = await analyze('security', '--offline=true', '--threshold=30', path);
    const [, exposure = 'NaN'] = /exposure level for .*: ([\d.]+)/.exec(stdout) ?? [];
    t.true(Number(exposure) <= MOST_EXPOSURE, `exposure ${exposure}\n${stdout}`);
    t.is(code, 0, 'by its own judgement, too');
  });
}

testAnalyzed('a setting that nobody knows is found', async (t) => {
  const unit = systemUnit({ description: 'x', memory, needs: none });
  const { stderr } = await analyze('verify', '--man=no', await written(unit.replace('Type=notify', 'Typ=notify')));
  t.regex(stderr, /Unknown key 'Typ'/);
});

test('devices are open for those that need them', (t) => {
  const unit = systemUnit({ description: 'x', memory, needs: none });
  t.regex(unit, /^PrivateDevices=yes$/m);
  t.notRegex(unit, /DeviceAllow/);
  const open = systemUnit({ description: 'x', memory, needs: everything });
  t.notRegex(open, /PrivateDevices/);
  t.regex(open, /^DevicePolicy=closed\nDeviceAllow=char-video4linux rw$/m);
  t.regex(open, /^DeviceAllow=char-hidraw rw$/m);
  t.regex(open, /^ReadWritePaths=-\/data\/learnt$/m);
});

test('limits of memory are those of the plan, and absent without one', (t) => {
  for (const make of [systemUnit, userUnit]) {
    const unit = make({ description: 'x', memory, needs: none });
    t.regex(unit, new RegExp(`^MemoryHigh=${memory.highBytes}\nMemoryMax=${memory.maxBytes}$`, 'm'));
    t.notRegex(make({ description: 'x', memory: null, needs: none }), /^Memory/m);
  }
});
