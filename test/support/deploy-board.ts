/** @file What lies on a board, and what runs there, looked at from outside. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { sha256 } from './deploy-tiny-bundles.ts';

/** Processes whose command, environment or folder is below `folder`, but this one. */
export function processesOf(folder: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => ['cmdline', 'environ'].some((file) => readText(`/proc/${pid}/${file}`).includes(folder)))
    .map(Number);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It ended meanwhile.
    return '';
  }
}

/** Kills them as a power cut would; again for those that were just being started. */
export function killAll(folder: string, isMeant: (command: string) => boolean = () => true): void {
  for (let round = 0; round < 3; round++) {
    for (const pid of processesOf(folder)) {
      if (!isMeant(readText(`/proc/${pid}/cmdline`))) continue;
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    }
  }
}

export interface Serving {
  readonly state: string;
  readonly release: string;
  readonly pid: number;
}

/** What the service says of itself, if its process lives. */
export async function serving(root: string): Promise<Serving | null> {
  const text = await readFile(join(root, 'state', 'status.json'), 'utf8').catch(() => '');
  if (text === '') return null;
  const status = JSON.parse(text) as Serving;
  const state = readText(`/proc/${status.pid}/stat`);
  return state !== '' && !/\) Z /.test(state) ? status : null;
}

export async function currentOf(root: string): Promise<string | null> {
  return (await readlink(join(root, 'current')).catch(() => null))?.replace(/^releases\//, '') ?? null;
}

/** Waits for something to become true. */
export async function eventually(t: ExecutionContext, what: string, isSo: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > end) return t.fail(`never so: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** `current` leads to a release that is whole, every release is, and every object is what its name says. */
export async function assertWhole(t: ExecutionContext, root: string): Promise<void> {
  const current = await currentOf(root);
  const releases = await readdir(join(root, 'releases'));
  if (current !== null) t.true(releases.includes(current), `current leads to ${current}`);
  for (const id of releases) {
    const folder = join(root, 'releases', id);
    t.notThrows(() => execFileSync('sha256sum', ['--quiet', '-c', 'SHA256SUMS'], { cwd: folder }), `release ${id}`);
  }
  for (const two of await readdir(join(root, 'objects'))) {
    for (const name of await readdir(join(root, 'objects', two))) {
      const path = join(root, 'objects', two, name);
      t.is(`${two}${name}`.replace(/\.x$/, ''), sha256(await readFile(path)), path);
      t.is((await stat(path)).mode & 0o777, name.endsWith('.x') ? 0o555 : 0o444);
    }
  }
}

/** The release serves and is current, and nothing is half-switched. */
export async function assertServes(t: ExecutionContext, root: string, id: string): Promise<void> {
  await eventually(t, `${id} serves in ${root}`, async () => {
    const status = await serving(root);
    return status?.release === id && status.state === 'ready' && (await currentOf(root)) === id;
  });
  await assertWhole(t, root);
}
