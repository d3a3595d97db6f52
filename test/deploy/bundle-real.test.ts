/** Real bundles, with what npm installs for the target: their size, and one that runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { EdgeshiftError } from '../../runtime/errors.ts';
import type { StatusRecord } from '../../tools/cli/service-status.ts';
import { type BuiltBundle, buildBundle } from '../../tools/deploy/bundle/build.ts';
import { filesBelow } from '../../tools/deploy/bundle/bundle-file.ts';
import { type TargetName, targetNamed } from '../../tools/deploy/bundle/target.ts';
import { checkSums, offlineReason, unpack } from '../support/deploy-runtime.ts';
import { noiseImage } from '../support/noise-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-real-'));
const model = await tinyModel(join(root, 'tiny.onnx'));
test.after.always(() => rm(root, { recursive: true, force: true }));

/** Without Node, of a model of some kilobytes. */
const MOST_BYTES = 45e6;
/** Why there is none, where the registry cannot be reached. */
async function build(target: TargetName, device?: string): Promise<BuiltBundle | string> {
  const run = 'adapt --source http://127.0.0.1:0 --budget 1GiB --threads 1 --batch 4';
  const request = { target: targetNamed(target), model, run, withNode: false, ...(device !== undefined && { device }) };
  try {
    return await buildBundle(request, join(root, `${target}.tar.gz`));
  } catch (error) {
    const reason = error instanceof EdgeshiftError ? offlineReason(error.message) : null;
    if (reason === null) throw error;
    return `skipped: the npm registry cannot be reached (${reason})`;
  }
}

test.serial('for linux-arm64: below 45 MB, and every library for that processor', async (t) => {
  const built = await build('linux-arm64', 'jetson-orin-nano-8gb@15W');
  if (typeof built === 'string') {
    t.log(built);
    return t.pass();
  }
  const { manifest, bytes, path } = built;
  t.true(bytes < MOST_BYTES, `${bytes} bytes`);
  t.log(`${bytes} bytes, ${manifest.files.length} files of ${manifest.bytes} bytes`);
  t.regex(manifest.glibc ?? '', /^2\.\d+$/);
  const folder = await unpack(path, join(root, 'arm64'));
  await checkSums(folder);
  const native = (await filesBelow(folder)).filter((name) => /\.node$|\.so(\.|$)/.test(name));
  t.deepEqual(native.map((name) => name.replace(/.*node_modules\/((@[^/]+\/)?[^/]+)\/.*/, '$1')).toSorted(), [
    ...['@img/sharp-libvips-linux-arm64', '@img/sharp-linux-arm64', 'node-hid', 'onnxruntime-node', 'onnxruntime-node'],
  ]);
  for (const name of native) {
    // Elf64_Ehdr: e_machine, 183 is EM_AARCH64.
    t.is((await readFile(join(folder, name))).readUInt16LE(18), 183, name);
  }
});

test.serial(
  'for linux-x64: it runs from its release folder, adapts, says so, and goes on after a restart',
  async (t) => {
    const built = await build('linux-x64');
    if (typeof built === 'string') {
      t.log(built);
      return t.pass();
    }
    t.true(built.bytes < MOST_BYTES, `${built.bytes} bytes`);
    t.log(`${built.bytes} bytes, ${built.manifest.files.length} files of ${built.manifest.bytes} bytes`);
    const board = join(root, 'board');
    const { id } = built.manifest;
    await checkSums(await unpack(built.path, join(board, 'releases', id)));
    await symlink(`releases/${id}`, join(board, 'current'));
    await writeFile(join(board, 'environment'), `EDGESHIFT_NODE=${process.execPath}\n`);
    const first = await start(board);
    t.teardown(() => first.child.kill('SIGKILL'));
    t.like(first.status, { state: 'ready', release: id });
    for (let n = 0; n < 8; n++) {
      const body = new Uint8Array(await noiseImage(16, 16, n).png().toBuffer());
      const answer = await fetch(`${first.address}/frame`, { method: 'POST', body });
      t.is(answer.status, 200, await answer.text());
    }
    await first.stop();
    const status = await readStatus(board);
    t.like(status, { state: 'stopping', frames: 8, error: null });
    const { run } = built.manifest;
    const delta = join(board, 'state', run[run.indexOf('--export-delta') + 1] ?? '');
    t.true((await readFile(delta)).length > 0, 'what was learnt is written');
    const again = await start(board);
    t.teardown(() => again.child.kill('SIGKILL'));
    t.like(again.status, { state: 'ready', release: id });
    await again.stop();
  },
);

const readStatus = async (board: string): Promise<StatusRecord | null> =>
  JSON.parse(await readFile(join(board, 'state', 'status.json'), 'utf8').catch(() => 'null'));

interface Started {
  readonly child: ChildProcess;
  readonly address: string;
  readonly status: StatusRecord | null;
  stop(): Promise<void>;
}

/** The service as a board without a service manager starts it, once it is ready. */
async function start(board: string): Promise<Started> {
  const child = spawn(join(board, 'current/service/run'), { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'exit');
  const address = (): string | undefined => /listening on (http:\/\/\S+)/.exec(stderr)?.[1];
  const isReady = async () => {
    const status = await readStatus(board);
    return status?.pid === child.pid && status?.state === 'ready' && address() !== undefined;
  };
  while (!(await isReady())) {
    if (child.exitCode !== null) throw new Error(`the service ended with ${child.exitCode}\n${stderr}`);
    await delay(50);
  }
  const stop = async () => {
    child.kill('SIGTERM');
    const [code] = await ended;
    if (code !== 0) throw new Error(`the service ended with ${code}\n${stderr}`);
  };
  return { child, address: address() ?? '', status: await readStatus(board), stop };
}
