/** Boards over a real sshd: push, status, logs, rollback and pull, who is reached, and what a board takes. */
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assertServes } from '../support/deploy-board.ts';
import { boards, quick } from '../support/deploy-pushes.ts';
import { tinyBundle } from '../support/deploy-tiny-bundles.ts';
import { edgeshift, lastJson } from '../support/train-cli.ts';

const { scratch, onBoard } = await boards();

onBoard(
  'whole',
  'from nothing to a service, to the next release, back, and home with what it learnt',
  async (t, board) => {
    const one = await board.push({ name: 'one' });
    t.is(one.result.code, 0, one.result.stderr);
    t.regex(one.result.stdout, new RegExp(`^release ${one.id}\nhost +result +sent +time +why\nboard +updated `));
    await assertServes(t, board.root, one.id);

    const two = await board.push({ name: 'two' });
    t.is(two.result.code, 0, two.result.stderr);
    t.regex(two.result.stderr, /sending 3 of 8 files, 0\.0 MiB/, 'only what changed: name, sums, manifest');
    await assertServes(t, board.root, two.id);
    const again = await board.push({ name: 'two' });
    t.regex(again.result.stdout, /board +unchanged/);

    const status = lastJson(await board.run('status'));
    t.like(status, {
      host: 'board',
      current: two.id,
      former: one.id,
      serving: two.id,
      manager: 'plain',
      pending: null,
    });
    t.like(status.service, { state: 'ready', release: two.id, frames: 7 });
    t.deepEqual((status.releases as string[]).toSorted(), [one.id, two.id].toSorted());

    const logs = await board.run('logs', '--lines', '5');
    t.regex(logs.stdout, /two is ready\n/);

    const back = await board.run('rollback', ...quick);
    t.like(lastJson(back), { release: one.id, result: 'updated' }, back.stderr);
    await assertServes(t, board.root, one.id);
    const forth = await board.run('rollback', '--to', two.id, ...quick);
    t.like(lastJson(forth), { release: two.id }, forth.stderr);
    await assertServes(t, board.root, two.id);

    const learnt = join(board.root, 'state', 'run');
    await mkdir(join(learnt, 'snapshots'), { recursive: true });
    for (const n of [5, 10, 200]) {
      await writeFile(join(learnt, 'snapshots', `frame-${`${n}`.padStart(12, '0')}.safetensors`), `snapshot ${n}`);
    }
    await writeFile(join(learnt, 'delta.safetensors'), 'delta');
    await writeFile(join(learnt, 'model.onnx'), 'too large to bring');
    const pulled = lastJson(await board.run('pull', '--out', join(scratch, 'pulled')));
    const folder = pulled.folder as string;
    t.is(await readFile(join(folder, 'state/run/delta.safetensors'), 'utf8'), 'delta');
    t.deepEqual(await readdir(join(folder, 'state/run/snapshots')), ['frame-000000000200.safetensors']);
    t.deepEqual((await readdir(join(folder, 'state/run'))).toSorted(), ['delta.safetensors', 'snapshots']);
    t.regex(await readFile(join(folder, 'history'), 'utf8'), new RegExp(`${two.id} rollback ok\n$`));
    t.like(JSON.parse(await readFile(join(folder, 'state/status.json'), 'utf8')), { release: two.id });
    t.false((await readdir(join(folder, '..'))).some((name) => name.endsWith('.tmp')));
  },
);

onBoard('keep', 'a board keeps so many releases, and only their objects', async (t, board) => {
  for (const name of ['k1', 'k2', 'k3', 'k4']) {
    const { result } = await board.push({ name }, '--keep', '2');
    t.is(result.code, 0, result.stderr);
  }
  t.is((await readdir(join(board.root, 'releases'))).length, 2);
  const status = lastJson(await board.run('status'));
  t.deepEqual((status.releases as string[]).toSorted(), [status.current, status.former].toSorted());
  t.deepEqual(await readdir(join(board.root, 'incoming')), []);
  const { stdout } = spawnSync('find', [join(board.root, 'objects'), '-type', 'f', '-links', '1'], {
    encoding: 'utf8',
  });
  t.is(stdout, '');
});

onBoard(
  'refused',
  'another architecture, a later glibc, no Node, too little memory or disk: nothing is sent',
  async (t, board) => {
    const { id } = await board.push({ name: 'fits' });
    const elsewhere = process.arch === 'arm64' ? 'linux-x64' : 'linux-arm64';
    const memory = { planBytes: 2 ** 50, highBytes: 2 ** 50, maxBytes: 2 ** 50 };
    for (const [facts, code, message] of [
      [{ target: elsewhere }, 1, new RegExp(`architecture: the bundle is for ${elsewhere}, the board is `)],
      [{ glibc: '9.99' }, 1, /glibc: the bundle needs 9\.99 or later, the board has 2\./],
      [{ memory }, 3, /memory: .* are available, the plan takes/],
    ] as const) {
      const { result } = await board.push({ name: 'unfit', facts });
      t.is(result.code, code, result.stderr);
      t.regex(result.stderr, message);
      t.regex(result.stderr, /and nothing was changed there/);
      t.regex(result.stdout, /board +untouched +0 B/);
    }
    const options = ['--ssh-option', 'SetEnv=EDGESHIFT_X=1', '--json'];
    const { result } = await board.push({ name: 'unfit', facts: { target: elsewhere } }, ...options);
    t.like(JSON.parse(result.stdout), {
      hosts: { 0: { host: 'board', result: 'untouched', failed: true, code: 'EXECUTION' } },
    });
    await assertServes(t, board.root, id);
  },
);

onBoard(
  'unreachable',
  'a host that is not there, a key that is not known, names that are options',
  async (t, board) => {
    const options = ['--ssh-config', board.sshd.config];
    const bundle = join(scratch, 'any.tar.gz');
    await tinyBundle(bundle, { name: 'any' });
    const push = (...words: readonly string[]) => edgeshift(['deploy', 'push', bundle, ...words, ...options]);
    const port = await push('board', '--ssh-option', 'Port=1');
    t.is(port.code, 1);
    t.regex(port.stderr, /cannot connect to board: .*(refused|closed)/s);
    const stranger = await push('board', '--ssh-option', 'UserKnownHostsFile=/dev/null');
    t.regex(stranger.stderr, /cannot connect to board: .*Host key verification failed/s);
    const sneaky = await push('--', '-oProxyCommand=touch x');
    t.is(sneaky.code, 2);
    const inventory = join(scratch, 'sneaky.json');
    await writeFile(inventory, JSON.stringify([{ host: '-oProxyCommand=id' }]));
    const listed = await push('--inventory', inventory);
    t.is(listed.code, 2);
    t.regex(listed.stderr, /is no host/);
    t.false((await readdir(board.sshd.home)).includes(board.root.split('/').at(-1) ?? ''));
  },
);
