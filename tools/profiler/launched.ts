/** @file The profiled command as a process: its own process group, its errors remembered, a pipe for what it says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { ExecutionError } from '../../runtime/errors.ts';
import { FD_VARIABLE, LIVE_VARIABLE } from './emit.ts';

/** How much of standard error is kept, in characters. */
const ERROR_TAIL = 2000;

/** Descriptor of the pipe in the command's process: the first after standard error. */
const PIPE_FD = 3;

/** How long what was written may take to arrive once the command has ended. */
const DRAIN_MILLIS = 1000;

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface LaunchOptions {
  /** Whether standard output and errors of the command are shown, on standard error both; else nothing is. */
  readonly quiet: boolean;
  /** Whether the command is to tell what a live page shows. */
  readonly live: boolean;
}

/** Disposing of it kills what is left of its process group. */
export class Launched implements AsyncDisposable {
  readonly pid: number;
  /** Lines of the command for its profiler. */
  readonly pipe: Readable;
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #killAtExit = (): void => this.signal('SIGKILL');
  #errorTail = '';
  #isRunning = true;

  private constructor(child: ChildProcess, pid: number, quiet: boolean) {
    this.#child = child;
    this.pid = pid;
    this.pipe = child.stdio[PIPE_FD] as Readable;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errorTail = (this.#errorTail + text).slice(-ERROR_TAIL);
      if (!quiet) process.stderr.write(text);
    });
    this.ended = new Promise((resolve) => {
      child.once('exit', (exitCode, signal) => {
        this.#isRunning = false;
        process.removeListener('exit', this.#killAtExit);
        resolve({ exitCode, signal });
      });
    });
    // A process group of its own gets no signal from the terminal and would outlive this process.
    process.once('exit', this.#killAtExit);
  }

  /** @throws ExecutionError if it cannot be started */
  static async start([file = '', ...args]: readonly string[], { quiet, live }: LaunchOptions): Promise<Launched> {
    const child = spawn(file, args, {
      detached: true,
      env: { ...process.env, [FD_VARIABLE]: String(PIPE_FD), [LIVE_VARIABLE]: live ? '1' : '' },
      // Its result is not this program's, whose own standard output it must not mix with.
      stdio: ['inherit', quiet ? 'ignore' : process.stderr, 'pipe', 'pipe'],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        reject(new ExecutionError(`"${file}" could not be started: ${cause.message}`, { command: file }, { cause }));
      });
    });
    return new Launched(child, child.pid ?? 0, quiet);
  }

  /** Kills what the command has left behind; then all of its errors have been read. */
  async drain(): Promise<void> {
    this.signal('SIGKILL');
    const { stderr } = this.#child;
    // A process that left the group may keep its end open for ever.
    if (stderr !== null && !stderr.closed) await Promise.race([once(stderr, 'close'), delay(DRAIN_MILLIS)]);
    this.pipe.destroy();
  }

  /** Last part of what it wrote to standard error. */
  get errorText(): string {
    return this.#errorTail.trim();
  }

  /** To all processes of its group. */
  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // No process of the group is left.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal('SIGKILL');
    if (this.#isRunning) await this.ended;
    this.#child.stderr?.destroy();
    this.pipe.destroy();
  }
}
