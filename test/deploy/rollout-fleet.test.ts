/** Twenty boards on the loopback, one sshd with ten ports, and a folder for each; three of them do not get well. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { assertServes, killAll } from '../support/deploy-board.ts';
import { noSshd, startSshd } from '../support/deploy-sshd.ts';
import { tinyBundle } from '../support/deploy-tiny-bundles.ts';
import { edgeshift } from '../support/train-cli.ts';

const BOARDS = 20;

const scratch = await mkdtemp(join(tmpdir(), 'edgeshift-test-fleet-'));
const skipped = noSshd();
const sshd = skipped === null ? await startSshd(scratch, BOARDS) : null;
test.after.always(async () => {
  sshd?.stop();
  killAll(scratch);
  await rm(scratch, { recursive: true, force: true });
});

interface Report {
  readonly release: string;
  readonly stopped: string | null;
  readonly hosts: readonly { readonly host: string; readonly result: string; readonly reason: string | null }[];
}

const name = (n: number): string => `board${n === 0 ? '' : n}`;
const folder = (n: number): string => join(sshd?.home ?? '', name(n));

async function push(
  release: string,
  ...options: readonly string[]
): Promise<{ readonly id: string; readonly report: Report; readonly stderr: string; readonly code: number | null }> {
  const bundle = join(scratch, `${release}.tar.gz`);
  const id = await tinyBundle(bundle, { name: release });
  const words = ['--inventory', join(scratch, 'hosts.json'), '--ssh-config', sshd?.config ?? '', '--json'];
  const health = ['--health-seconds', '0', '--health-timeout', '30'];
  const { code, stdout, stderr } = await edgeshift(['deploy', 'push', bundle, ...words, ...health, ...options]);
  return { id, report: JSON.parse(stdout) as Report, stderr, code };
}

const results = ({ hosts }: Report, result: string): readonly string[] =>
  hosts.filter((host) => host.result === result).map(({ host }) => host);

test('a fleet: all healthy; a canary that is not; later ones that are not', async (t) => {
  t.timeout(600_000);
  if (sshd === null) {
    t.log(skipped ?? '');
    t.pass();
    return;
  }
  const all = Array.from({ length: BOARDS }, (_, n) => n);
  await writeFile(join(scratch, 'hosts.json'), JSON.stringify(all.map((n) => ({ host: name(n), root: folder(n) }))));
  const old = await push('old', '--parallel', '8');
  t.is(old.code, 0, old.stderr);
  t.is(results(old.report, 'updated').length, BOARDS);
  const unhealthy = async (sick: readonly number[], release: string) => {
    for (const n of all) {
      await mkdir(join(folder(n), 'state'), { recursive: true });
      await writeFile(join(folder(n), 'state', 'unhealthy'), sick.includes(n) ? release : 'none');
    }
  };

  // The canary is one of the three.
  await unhealthy([0, 7, 13], 'first');
  const first = await push('first');
  t.is(first.code, 1);
  t.is(first.report.stopped, 'canary board failed');
  t.deepEqual(results(first.report, 'rolled back'), ['board']);
  t.is(results(first.report, 'untouched').length, BOARDS - 1);
  t.regex(first.report.hosts[0]?.reason ?? '', /is unhealthy \(failed: no camera .*\); [0-9a-f]{16} serves again/);
  t.is(first.report.hosts[19]?.reason, 'not tried: canary board failed');
  for (const n of all) t.is((await statusOf(n)).release, old.id);
  await assertServes(t, folder(0), old.id);

  // The canary is well; waves of four are 1 to 4, 5 to 8, 9 to 12 ...: it stops after the one in which the second fails.
  await unhealthy([3, 6, 14], 'second');
  const second = await push('second', '--max-failures', '1');
  t.is(second.code, 1);
  t.deepEqual(results(second.report, 'rolled back'), ['board3', 'board6']);
  t.deepEqual(results(second.report, 'updated'), ['board', 'board1', 'board2', 'board4', 'board5', 'board7', 'board8']);
  t.is(results(second.report, 'untouched').length, 11);
  t.is(second.report.stopped, '2 failed (board3, board6), where --max-failures is 1');
  for (const n of all) {
    const updated = n <= 8 && n !== 3 && n !== 6;
    t.is((await statusOf(n)).release, updated ? second.id : old.id, name(n));
  }

  // Those that have it already are left alone; three failures are allowed for.
  const third = await push('second', '--max-failures', '3', '--parallel', '6');
  t.is(third.code, 1);
  t.is(third.report.stopped, null);
  t.deepEqual(results(third.report, 'rolled back'), ['board3', 'board6', 'board14']);
  t.is(results(third.report, 'unchanged').length, 7);
  t.is(results(third.report, 'updated').length, 10);
  for (const n of [3, 14, 19]) await assertServes(t, folder(n), n === 19 ? second.id : old.id);
});

async function statusOf(n: number): Promise<{ readonly release: string }> {
  return JSON.parse(await readFile(join(folder(n), 'state', 'status.json'), 'utf8')) as { release: string };
}
