/** @file One connection to one board, by the system's OpenSSH. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ExecutionError } from '../../../runtime/errors.ts';
import type { Host } from './host.ts';

export interface SshOptions {
  /** File for `ssh -F`. */
  readonly config?: string;
  /** Each for `ssh -o`; they come before our own defaults, and so win. */
  readonly options?: readonly string[];
}

export interface SshResult {
  /** 255 if there is no connection. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SshInput {
  readonly input?: AsyncIterable<Uint8Array> | string;
  /** Called with each line of stdout as it comes. */
  readonly onLine?: (line: string) => void;
}

const READY = 'edgeshift-connected';

/** `sun_path` has 108 bytes, and `ssh` adds 17 to the name while it makes the socket. */
const SOCKET_FOLDER_LENGTH = 60;

/** How long the connection may take to close. */
const CLOSE_MILLIS = 2000;

/**
 * A connection that all commands share. Host keys, identities and jumps are what the user's configuration of `ssh` says;
 * nothing is ever asked for.
 */
export class Ssh implements AsyncDisposable {
  readonly #host: Host;
  readonly #folder: string;
  readonly #arguments: readonly string[];
  readonly #master: ChildProcessWithoutNullStreams;

  private constructor(host: Host, folder: string, options: SshOptions) {
    this.#host = host;
    this.#folder = folder;
    this.#arguments = [...fixed(folder), ...chosen(options), ...defaults, ...portOf(host), '--', host.destination];
    this.#master = spawn('ssh', ['-o', 'ControlMaster=yes', ...this.#arguments, `echo ${READY}; exec cat > /dev/null`]);
  }

  /** @throws ExecutionError if the board cannot be reached, with what `ssh` said */
  static async open(host: Host, options: SshOptions = {}): Promise<Ssh> {
    const base = tmpdir().length <= SOCKET_FOLDER_LENGTH ? tmpdir() : '/tmp';
    const folder = await mkdtemp(join(base, 'edgeshift-ssh-'));
    const ssh = new Ssh(host, folder, options);
    try {
      await ssh.#connected();
      return ssh;
    } catch (error) {
      await ssh[Symbol.asyncDispose]();
      throw error;
    }
  }

  #connected(): Promise<void> {
    const { stdin, stdout, stderr } = this.#master;
    stdin.on('error', () => undefined);
    return new Promise((resolve, reject) => {
      let [said, problem] = ['', ''];
      stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes(READY)) resolve();
      });
      stderr.setEncoding('utf8').on('data', (text: string) => {
        problem = `${problem}${text}`.slice(-4000);
      });
      this.#master.on('error', (cause) => {
        reject(new ExecutionError(`cannot run ssh: ${cause.message}\nHint: install OpenSSH's client`, {}, { cause }));
      });
      this.#master.on('close', () => {
        const facts = { host: this.#host.name };
        reject(new ExecutionError(`cannot connect to ${this.#host.name}: ${problem.trim() || 'ssh ended'}`, facts));
      });
    });
  }

  /** Starts a command on the board; every word reaches it as it is. */
  start(words: readonly string[]): ChildProcessWithoutNullStreams {
    const child = spawn('ssh', [...shared, ...this.#arguments, words.map(quoted).join(' ')]);
    // A command that ended takes no more input; why it ended is what counts.
    child.stdin.on('error', () => undefined);
    return child;
  }

  /** Runs a command to its end. */
  async run(words: readonly string[], { input = '', onLine }: SshInput = {}): Promise<SshResult> {
    const child = this.start(words);
    const ended = ending(child, onLine);
    if (typeof input === 'string') child.stdin.end(input);
    else await pipeline(input, child.stdin).catch(() => child.stdin.destroy());
    return ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#master.exitCode === null && this.#master.signalCode === null && this.#master.pid !== undefined) {
      const closed = new Promise((resolve) => this.#master.once('close', resolve));
      // It ends with its session; a connection that is dead does not notice, and a signal it may notice late.
      this.#master.stdin.end();
      const late = setTimeout(() => this.#master.kill('SIGKILL'), CLOSE_MILLIS);
      await closed;
      clearTimeout(late);
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const option = (text: string): readonly string[] => ['-o', text];

/** What must not be otherwise; the first value of an option is the one that `ssh` takes. */
const fixed = (folder: string): readonly string[] => [
  '-T',
  ...['BatchMode=yes', `ControlPath=${join(folder, 'c')}`, 'ControlPersist=no', 'RemoteCommand=none'].flatMap(option),
  ...['ClearAllForwardings=yes', 'PermitLocalCommand=no'].flatMap(option),
];

/** Where the shared connection is gone no other is made: the lock on the board went with it. */
const shared = ['ControlMaster=no', 'ProxyCommand=exit 1'].flatMap(option);

const defaults: readonly string[] = ['ConnectTimeout=15', 'ServerAliveInterval=10', 'ServerAliveCountMax=3'].flatMap(
  option,
);

const chosen = ({ config, options = [] }: SshOptions): readonly string[] => [
  ...(config === undefined ? [] : ['-F', config]),
  ...options.flatMap(option),
];
const portOf = ({ port }: Host): readonly string[] => (port === null ? [] : ['-p', `${port}`]);

/** A word for the shell of the other side, as it is. */
export const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

function ending(child: ChildProcessWithoutNullStreams, onLine?: (line: string) => void): Promise<SshResult> {
  return new Promise((resolve, reject) => {
    let [stdout, stderr, rest] = ['', '', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (!onLine) return;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) onLine(line);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = `${stderr}${text}`.slice(-8000);
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 255, stdout, stderr }));
  });
}
