/**
 * Power is cut, or the shell on the board killed, at every step of assembling and switching: after it a whole release is
 * current, the one that serves, and the next push works. board.sh runs here as on a board, without ssh before it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { Random } from '../../runtime/train/random.ts';
import { tarEnd, tarHeader, tarPadding } from '../../tools/deploy/bundle/tar.ts';
import { OpenBundle } from '../../tools/deploy/host/bundle.ts';
import { distinctObjects, layoutText, objectsTar } from '../../tools/deploy/host/objects.ts';
import { assertServes, currentOf, eventually, killAll, processesOf } from '../support/deploy-board.ts';
import { tinyBundle } from '../support/deploy-tiny-bundles.ts';

const script = fileURLToPath(new URL('../../../tools/deploy/board/board.sh', import.meta.url));
const SEED = Number(process.env.EDGESHIFT_POWER_SEED ?? 20261122);
/** Times that power is cut, and that only the shell is killed. */
const CUTS = Number(process.env.EDGESHIFT_POWER_CUTS ?? 5);

const scratch = await mkdtemp(join(tmpdir(), 'edgeshift-test-power-'));
const bundles = {
  old: await tinyBundle(join(scratch, 'old.tar.gz'), { name: 'old' }),
  new: await tinyBundle(join(scratch, 'new.tar.gz'), { name: 'new' }),
};
test.after.always(async () => {
  killAll(scratch);
  await rm(scratch, { recursive: true, force: true });
});

interface Held {
  readonly token: string;
  readonly shell: ChildProcess;
}

const board = (verb: string, root: string, ...words: readonly string[]) => ['-x', script, verb, root, ...words];

function hold(root: string): Promise<Held> {
  const shell = spawn('sh', [script, 'hold', root, 'test'], { stdio: ['pipe', 'pipe', 'pipe'] });
  return new Promise((resolve, reject) => {
    let [said, problem] = ['', ''];
    shell.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const token = /^token=(.*)\n/m.exec(said)?.[1];
      if (token !== undefined) resolve({ token, shell });
    });
    shell.stderr.setEncoding('utf8').on('data', (text: string) => {
      problem += text;
    });
    shell.on('close', () => reject(new Error(`no lock: ${problem}`)));
  });
}

interface Killed {
  /** Commands that ran, as the shell traces them. */
  readonly lines: number;
  readonly last: string;
  readonly code: number | null;
}

/** Runs a verb, and kills at once when it has come to a line of its trace. */
function traced(
  args: readonly string[],
  input: Uint8Array | string,
  killAt: number,
  kill: (shell: ChildProcess) => void,
) {
  const shell = spawn('sh', args, { stdio: ['pipe', 'ignore', 'pipe'] });
  shell.stdin.on('error', () => undefined).end(input);
  return new Promise<Killed>((resolve) => {
    let [trace, isKilled] = ['', false];
    shell.stderr.setEncoding('utf8').on('data', (text: string) => {
      trace += text;
      if (!isKilled && trace.split('\n').length > killAt) {
        isKilled = true;
        kill(shell);
      }
    });
    shell.on('close', (code) => {
      const lines = trace.split('\n');
      resolve({ lines: lines.length, last: lines.at(killAt - 1) ?? '', code });
    });
  });
}

const verbs = ['put', 'assemble', 'activate'] as const;
type Verb = (typeof verbs)[number];
type Name = keyof typeof bundles;

interface Kill {
  readonly verb: Verb;
  readonly line: number;
  readonly kill: (shell: ChildProcess) => void;
}

/** Puts, assembles and activates a release, or begins to. */
async function release(root: string, name: Name, kill: Kill | null = null): Promise<ReadonlyMap<Verb, Killed>> {
  await using bundle = await OpenBundle.open(join(scratch, `${name}.tar.gz`));
  const { token, shell } = await hold(root);
  const tar: Uint8Array[] = [];
  for await (const part of objectsTar(distinctObjects(bundle.files))) tar.push(part);
  const steps = {
    put: { words: [token], input: Buffer.concat(tar) },
    assemble: { words: [token, bundles[name]], input: layoutText(bundle.files) },
    activate: { words: [token, bundles[name], '20', '0', '3'], input: '' },
  };
  const done = new Map<Verb, Killed>();
  for (const verb of verbs) {
    const { words, input } = steps[verb];
    const line = kill?.verb === verb ? kill.line : Number.POSITIVE_INFINITY;
    const result = await traced(board(verb, root, ...words), input, line, (step) => {
      shell.kill('SIGKILL');
      kill?.kill(step);
    });
    done.set(verb, result);
    if (kill?.verb === verb) break;
    if (result.code !== 0) throw new Error(`${verb} ended with ${result.code}: ${result.last}`);
  }
  if (shell.exitCode === null && shell.signalCode === null) {
    const ended = new Promise((resolve) => shell.once('close', resolve));
    shell.stdin?.end();
    await ended;
  }
  return done;
}

/** Whether a process still lives that undoes an interrupted switch. */
const guarded = (root: string): boolean =>
  processesOf(root).some((pid) => spawnSync('grep', ['-q', 'guard', `/proc/${pid}/cmdline`]).status === 0);

/** What a board does when it gets power: it starts the service. */
function boot(root: string): void {
  const args = ['-f', 'sh', join(root, 'current', 'service', 'board.sh'), 'supervise', root];
  spawnSync('setsid', args, { stdio: 'ignore' });
}

/** Kills at lines that are spread over all commands of each verb, most often while it switches. */
async function killed(
  t: ExecutionContext,
  root: string,
  seed: number,
  kill: Kill['kill'],
  after: () => void,
): Promise<void> {
  t.log(`seed ${SEED}, ${CUTS} times; EDGESHIFT_POWER_SEED and EDGESHIFT_POWER_CUTS change them`);
  const random = new Random(SEED, seed);
  let [serving, next]: [Name, Name] = ['old', 'new'];
  await release(root, serving);
  const lengths = await release(root, next);
  [serving, next] = [next, serving];
  for (let turn = 0; turn < CUTS; turn++) {
    const verb = (['activate', 'activate', 'assemble', 'activate', 'put'] as const)[turn % 5] ?? 'activate';
    const length = lengths.get(verb)?.lines ?? 1;
    const line = 1 + Math.floor((length * (turn + random.uniform())) / CUTS);
    await rm(join(root, 'releases', bundles[next]), { recursive: true, force: true });
    const step = (await release(root, next, { verb, line, kill })).get(verb);
    const about = `${verb} killed at line ${line} of ${length}: ${step?.last.slice(0, 100)}`;
    t.log(about);
    // A switch that was not confirmed is undone; without one, current is what it was or is confirmed.
    const isPending = existsSync(join(root, 'pending'));
    const current = await currentOf(root);
    t.true(current === bundles[serving] || current === bundles[next], about);
    after();
    await eventually(t, `nothing is pending after ${about}`, async () => !existsSync(join(root, 'pending')));
    await assertServes(t, root, isPending ? bundles[serving] : (current ?? ''));
    // And the next push goes through, once whoever undid this one has let go of the lock.
    await eventually(
      t,
      `the lock is free after ${about}`,
      async () => !existsSync(join(root, 'lock', 'holder')) || !guarded(root),
    );
    await release(root, next);
    await assertServes(t, root, bundles[next]);
    [serving, next] = [next, serving];
  }
}

test.serial('power is cut', async (t) => {
  const root = join(scratch, 'power');
  const cut = () => killAll(root);
  await killed(t, root, 1, cut, () => boot(root));
});

test.serial('the shell on the board is killed: what it began is undone without any power cut', async (t) => {
  const root = join(scratch, 'shell');
  await killed(
    t,
    root,
    2,
    (shell) => shell.kill('SIGKILL'),
    () => undefined,
  );
});

test.serial('the board takes nothing that is not what it is called', async (t) => {
  const root = join(scratch, 'called');
  await release(root, 'old');
  await using bundle = await OpenBundle.open(join(scratch, 'new.tar.gz'));
  const { files } = bundle;
  const { token, shell } = await hold(root);
  const run = (verb: string, words: readonly string[], input: Uint8Array | string) =>
    spawnSync('sh', [script, verb, root, token, ...words], { input, encoding: 'utf8' });

  // Under the name of another content: it is dropped, and what needs it is not assembled.
  const forged = { path: `ab/${'cd'.repeat(31)}`, mode: '644', bytes: 4 } as const;
  const tar = Buffer.concat([tarHeader(forged), Buffer.from('evil'), tarPadding(4), tarEnd()]);
  t.is(run('put', [], tar).status, 0);
  t.false(existsSync(join(root, 'objects', forged.path)));
  const missing = run('assemble', [bundles.new], `${forged.path.replace('/', '')} config/name\n`);
  t.is(missing.status, 65);
  t.regex(missing.stderr, /board: no object abcd.* for config\/name; push again/);

  // Whole objects in the wrong places, one file too many, and an id that is a path.
  const lines = layoutText(files).trimEnd().split('\n');
  const sent: Uint8Array[] = [];
  for await (const part of objectsTar(distinctObjects(files))) sent.push(part);
  t.is(run('put', [], Buffer.concat(sent)).status, 0);
  const keyOf = (path: string): string => lines.find((line) => line.endsWith(` ${path}`))?.split(' ')[0] ?? '';
  const others = lines.filter((line) => !/ config\/(behaviour|name)$/.test(line));
  const swapped = [`${keyOf('config/name')} config/behaviour`, `${keyOf('config/behaviour')} config/name`];
  for (const [layout, message] of [
    [[...others, ...swapped], /is damaged: config\/behaviour: FAILED config\/name: FAILED/],
    [[...lines, `${keyOf('config/name')} app/extra.json`], /is damaged: \d+ files, where SHA256SUMS names \d+/],
    [others, /is damaged: .*config\/behaviour: FAILED open or read/],
  ] as const) {
    const result = run('assemble', [bundles.new], `${layout.join('\n')}\n`);
    t.is(result.status, 65);
    t.regex(result.stderr, message);
  }
  t.is(run('assemble', ['../../x'], '').status, 64);
  t.deepEqual(await readdir(join(root, 'releases')), [bundles.old]);
  // Another token than that of the lock's holder changes nothing.
  const stranger = spawnSync('sh', [script, 'activate', root, '1-1', bundles.old, '5', '0', '3'], { encoding: 'utf8' });
  t.is(stranger.status, 76);
  t.regex(stranger.stderr, /the lock of this push was lost/);
  shell.kill();
  await assertServes(t, root, bundles.old);
});
