/** A release that is not healthy, two pushes at once, a bundle that was changed: the former release goes on serving. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assertServes, currentOf, eventually, serving } from '../support/deploy-board.ts';
import { boards } from '../support/deploy-pushes.ts';

const { onBoard } = await boards();

onBoard('sick', 'a release that is not healthy gives way to the former one', async (t, board) => {
  const { id } = await board.push({ name: 'well' });
  const timeout = ['--health-timeout', '4'];
  for (const [behaviour, message] of [
    ['never', /not ready within 4 s: state is starting/],
    ['failed', /failed: no camera at "\/dev\/video0"/],
    ['dies', /ready, then ready \(its process ended\)|ready, then gone|ready, then starting/],
    ['wrong', /ready as release 0000000000000000, not as [0-9a-f]{16}/],
    ['crashes', /not ready within 4 s: no state\/status\.json/],
  ] as const) {
    const options = behaviour === 'dies' ? ['--health-seconds', '4'] : timeout;
    const { result, id: bad } = await board.push({ name: behaviour, behaviour }, ...options);
    t.is(result.code, 1, result.stderr);
    t.regex(result.stderr, message);
    t.true(result.stderr.includes(`edgeshift: board: ${bad} is unhealthy (`), result.stderr);
    t.true(result.stderr.includes(`; ${id} serves again`), result.stderr);
    t.regex(result.stdout, /board +rolled back/);
    await assertServes(t, board.root, id);
  }
});

onBoard('first', 'a first release that is not healthy leaves nothing running', async (t, board) => {
  const { result } = await board.push({ name: 'bad', behaviour: 'failed' });
  t.is(result.code, 1);
  t.regex(result.stderr, /is unhealthy .* there is no former release: nothing serves now/);
  t.regex(result.stdout, /board +down/);
  t.is(await currentOf(board.root), null);
  t.is(await serving(board.root), null);
  const rollback = await board.run('rollback');
  t.is(rollback.code, 1);
  t.regex(rollback.stderr, /no release served before/);
});

onBoard('twice', 'of two pushes at once one is refused and told who holds the board', async (t, board) => {
  const { id } = await board.push({ name: 'before' });
  t.truthy(id);
  const slow = board.push({ name: 'slow' }, '--health-seconds', '8');
  await eventually(t, 'the first push holds the lock', async () =>
    (await readdir(join(board.root, 'lock'))).includes('holder'),
  );
  const second = await board.push({ name: 'second' });
  t.is(second.result.code, 1, second.result.stderr);
  t.regex(second.result.stderr, /another push holds .*: \S+@\S+, since \d{4}-\d\d-\d\dT/);
  t.regex(second.result.stdout, /board +untouched/);
  const first = await slow;
  t.is(first.result.code, 0, first.result.stderr);
  await assertServes(t, board.root, first.id);
  t.deepEqual(await readdir(join(board.root, 'lock')), []);
});

onBoard('tampered', 'a bundle that was changed is refused before anything is sent', async (t, board) => {
  const { id } = await board.push({ name: 'true' });
  const path = board.archive('true');
  const bytes = await readFile(path);
  bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] as number) ^ 4;
  await writeFile(path, bytes);
  const result = await board.run('push', path);
  t.is(result.code, 1);
  t.regex(result.stderr, /is damaged[\s\S]*Nothing was sent/);
  await assertServes(t, board.root, id);
});
