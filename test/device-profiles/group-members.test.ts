/** Who shares a control group, told from real processes; the group's own file is laid out. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { GroupMembers } from '../../device-profiles/probes/group-members.ts';

const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-members-'));
const children: ChildProcess[] = [];
test.after.always(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

function start(script: string): ChildProcess {
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

test('those that started this process or were started by it are no others', async (t) => {
  const child = start('sleep 60 & echo $!; wait');
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  const grandchild = Number(line.toString());
  // One whose parent is gone belongs to nobody who would be known.
  const gone = start('sleep 60 & echo $!');
  const [orphanLine] = (await once(gone.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
  await once(gone, 'exit');
  const orphan = Number(orphanLine.toString());

  const group = { version: 2, folder } as const;
  const procs = (...pids: readonly number[]): Promise<void> =>
    writeFile(join(folder, 'cgroup.procs'), pids.map((pid) => `${pid}\n`).join(''));
  await procs(process.pid);
  const members = GroupMembers.open(group, '/');
  const others = async (...pids: readonly number[]): Promise<boolean | undefined> => {
    await procs(...pids);
    return members?.hasOthers();
  };
  t.is(members?.hasOthers(), false);
  t.is(await others(process.ppid, process.pid, child.pid ?? 0, grandchild), false);
  t.is(await others(process.pid, orphan), true);
  t.is(await others(process.pid, 0), true, 'of another namespace');
  t.is(await others(process.pid, gone.pid ?? 0), false, 'ended since it was listed');
  t.is(await others(process.pid), false, 'gone again');
  members?.close();
  process.kill(orphan, 'SIGKILL');
});

test('a group that tells nothing has no members to look at', (t) => {
  t.is(GroupMembers.open({ version: 1, folder: join(folder, 'nowhere') }, '/'), null);
});
