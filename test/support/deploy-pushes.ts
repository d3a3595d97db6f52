/** @file A board for a test, over a real sshd, and the command line that pushes to it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { killAll } from './deploy-board.ts';
import { noSshd, type Sshd, startSshd } from './deploy-sshd.ts';
import { type TinyBundle, tinyBundle } from './deploy-tiny-bundles.ts';
import { type CliResult, edgeshift } from './train-cli.ts';
import { mountSmallDisk } from './train-disk.ts';

export const quick = ['--health-seconds', '1', '--health-timeout', '20'] as const;

/** A folder on the machine behind an sshd. */
export class TestBoard {
  readonly root: string;
  readonly sshd: Sshd;
  readonly #scratch: string;

  /** @param root of the board */
  constructor(sshd: Sshd, scratch: string, root: string) {
    this.root = root;
    this.sshd = sshd;
    this.#scratch = scratch;
  }

  /** Another folder behind the same sshd. */
  at(root: string): TestBoard {
    return new TestBoard(this.sshd, this.#scratch, root);
  }

  run(command: string, ...args: readonly string[]): Promise<CliResult> {
    const host = command === 'logs' || command === 'push' ? ['board'] : ['board', '--json'];
    const config = args.includes('--ssh-config') ? [] : ['--ssh-config', this.sshd.config];
    return edgeshift(['deploy', command, ...args, ...host, ...config, '--root', this.root]);
  }

  /** Where the bundle of a name lies once it was pushed. */
  archive(name: string): string {
    return join(this.#scratch, `${name}-${this.root.split('/').at(-1)}.tar.gz`);
  }

  async push(
    bundle: TinyBundle,
    ...args: readonly string[]
  ): Promise<{ readonly id: string; readonly result: CliResult }> {
    const path = this.archive(bundle.name);
    const id = await tinyBundle(path, bundle);
    return { id, result: await this.run('push', path, ...quick, ...args) };
  }
}

type Body = (t: ExecutionContext, board: TestBoard) => Promise<void>;

/**
 * Starts an sshd for a test file. `disk` is a small file system of so many bytes and files, such as `8m,nr_inodes=90`, made
 * before it starts, since it does not see what is mounted later; null where none can be made. What it gives back declares a test that needs a board of its own; where there is no sshd
 * the test is skipped, with a word.
 */
export async function boards(diskSize?: string): Promise<{
  readonly scratch: string;
  readonly disk: string | null;
  readonly onBoard: (name: string, title: string, body: Body) => void;
}> {
  const scratch = await mkdtemp(join(tmpdir(), 'edgeshift-test-push-'));
  const skipped = noSshd();
  const disk = diskSize === undefined || skipped !== null ? null : await mountSmallDisk(scratch, diskSize);
  const sshd = skipped === null ? await startSshd(scratch) : null;
  test.after.always(async () => {
    sshd?.stop();
    killAll(scratch);
    disk?.unmount();
    await rm(scratch, { recursive: true, force: true });
  });
  const onBoard = (name: string, title: string, body: Body) =>
    test.serial(title, async (t) => {
      if (sshd === null) {
        t.log(skipped ?? '');
        t.pass();
        return;
      }
      const board = new TestBoard(sshd, scratch, join(sshd.home, name));
      await body(t, board);
      killAll(board.root);
    });
  return { scratch, disk: disk?.path ?? null, onBoard };
}
