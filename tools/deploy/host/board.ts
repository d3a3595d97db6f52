/** @file A board over its connection: the verbs of board.sh, and the lock that a push holds there. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { hostname, userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ExecutionError } from '../../../runtime/errors.ts';
import { parseReply, type Reply } from './board-report.ts';
import type { Host } from './host.ts';
import { Ssh, type SshInput, type SshOptions, type SshResult } from './ssh.ts';

/** Exit codes of board.sh that decide how a push goes on; all are listed there. */
export const boardCodes = { locked: 75, rolledBack: 80, down: 81, disconnected: 255 } as const;

/** A board refused, or the connection to it is gone. Facts: `host`, `verb`, `exitCode`. */
export class BoardError extends ExecutionError {
  readonly exitCode: number;

  constructor(host: Host, verb: string, { code, stderr }: Pick<SshResult, 'code' | 'stderr'>) {
    const text = stderr.trim().replaceAll(/^board: /gm, '');
    const why =
      code === boardCodes.disconnected ? `the connection was lost during ${verb}${text && `: ${text}`}` : text;
    super(`${host.name}: ${why || `${verb} ended with exit code ${code}`}`, { host: host.name, verb, exitCode: code });
    this.exitCode = code;
  }
}

/** Not compiled: from `dist/tools/deploy/host/` it lies four levels up. */
const script = fileURLToPath(new URL('../../../../tools/deploy/board/board.sh', import.meta.url));

/** Its only word from outside is what `mktemp` made of the pattern. */
const RECEIVE = 'umask 077; f=$(mktemp /tmp/edgeshift-board.XXXXXX) && cat > "$f" && echo "$f"';

/** The board must hear of the laptop more often than its patience ends (SILENT_MINUTES of board.sh). */
const BEAT_MILLIS = 15_000;

export class Board implements AsyncDisposable {
  readonly host: Host;
  readonly #ssh: Ssh;
  /** Where board.sh lies there for the time of this connection: an old board is driven by a new one's script. */
  readonly #script: string;

  private constructor(host: Host, ssh: Ssh, path: string) {
    this.host = host;
    this.#ssh = ssh;
    this.#script = path;
  }

  /** @throws ExecutionError if it cannot be reached, BoardError if it takes no files */
  static async open(host: Host, options: SshOptions = {}): Promise<Board> {
    const ssh = await Ssh.open(host, options);
    try {
      const result = await ssh.run(['sh', '-c', RECEIVE], { input: await readFile(script, 'utf8') });
      const path = result.stdout.trim().split('\n').at(-1) ?? '';
      if (result.code === 0 && /^\/tmp\/edgeshift-board\.[A-Za-z0-9]+$/.test(path)) return new Board(host, ssh, path);
      throw new BoardError(host, 'sending board.sh', result);
    } catch (error) {
      await ssh[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** @throws BoardError if the verb fails */
  async call(verb: string, words: readonly string[] = [], input: SshInput = {}): Promise<Reply> {
    const result = await this.#ssh.run(this.#command(verb, words), input);
    if (result.code !== 0) throw new BoardError(this.host, verb, result);
    return parseReply(result.stdout);
  }

  /** A verb whose output is read as it comes. */
  start(verb: string, words: readonly string[] = []): ChildProcessWithoutNullStreams {
    return this.#ssh.start(this.#command(verb, words));
  }

  /** Takes the root's lock. @throws BoardError if another push has it */
  hold(): Promise<Hold> {
    const who = `${userInfo().username}@${hostname()}`.replaceAll(/[^A-Za-z0-9_.@-]/g, '_');
    return Hold.take(this.host, this.start('hold', [who]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ssh.run(['rm', '-f', this.#script]).catch(() => undefined);
    await this.#ssh[Symbol.asyncDispose]();
  }

  #command(verb: string, words: readonly string[]): readonly string[] {
    return ['exec', 'sh', this.#script, verb, this.host.root, ...words];
  }
}

/** The lock of a root: it is held for as long as the process on the board hears of this one. */
export class Hold implements AsyncDisposable {
  readonly token: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #beat: NodeJS.Timeout;

  private constructor(token: string, child: ChildProcessWithoutNullStreams) {
    this.token = token;
    this.#child = child;
    this.#beat = setInterval(() => child.stdin.write('\n'), BEAT_MILLIS).unref();
  }

  static take(host: Host, child: ChildProcessWithoutNullStreams): Promise<Hold> {
    return new Promise((resolve, reject) => {
      let [stdout, stderr] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        const token = /^token=([0-9]+-[0-9]+)\n/m.exec(stdout)?.[1];
        if (token !== undefined) resolve(new Hold(token, child));
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr = `${stderr}${text}`.slice(-4000);
      });
      child.on('error', reject);
      child.on('close', (code) => reject(new BoardError(host, 'hold', { code: code ?? 255, stderr })));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beat);
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin.end();
    await closed;
  }
}
