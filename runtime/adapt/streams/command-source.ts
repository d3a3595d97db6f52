/** @file Frames from what a command writes to its standard output: ffmpeg, GStreamer, libcamera and the like. */

import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { DataError } from '../../errors.ts';
import { type ByteFormat, findFrames } from './byte-source.ts';
import type { Frame } from './frame.ts';
import type { FrameDecoder } from './frame-decoder.ts';
import { decodeFrames, type FrameSource, SourceCounter } from './frame-source.ts';

export interface RestartOptions {
  /** How often a command that fails is started again, one failure after the other; 0 never. */
  readonly restarts: number;
  /** Wait before the first restart; each further one takes twice as long, up to a minute. Default 1000. */
  readonly backOffMillis: number;
}

/** Longest wait before a restart, and how long a command must have run for its failure to count as the first again. */
const longestWaitMillis = 60_000;
/** How much of standard error is kept for messages, in characters. */
const errorTail = 2000;
/** How long a command may take to end when asked to. */
const graceMillis = 2000;

/**
 * Runs the command in a shell and in a process group of its own, which dies with the source.
 * @throws DataError if the command fails (exit code other than 0, a signal, no images) more often than it may be restarted
 */
export class CommandSource implements FrameSource {
  readonly name = 'command';
  readonly live = true;
  readonly replies = null;
  readonly #command: string;
  readonly #format: ByteFormat;
  readonly #restart: RestartOptions;
  readonly #decoder: FrameDecoder;
  readonly #counter = new SourceCounter();
  readonly #closing = new AbortController();
  #running: Running | null = null;

  constructor(command: string, format: ByteFormat, restart: RestartOptions, decoder: FrameDecoder) {
    this.#command = command;
    this.#format = format;
    this.#restart = restart;
    this.#decoder = decoder;
  }

  counts() {
    return this.#counter.counts();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
    for (let failures = 0; !this.#closing.signal.aborted; ) {
      const started = performance.now();
      const failure = yield* this.#run();
      if (failure === null || this.#closing.signal.aborted) return;
      failures = performance.now() - started > longestWaitMillis ? 1 : failures + 1;
      if (failures > this.#restart.restarts) throw failure;
      const wait = Math.min(longestWaitMillis, this.#restart.backOffMillis * 2 ** (failures - 1));
      await delay(wait, undefined, { signal: this.#closing.signal }).catch(() => {});
      this.#counter.restarts += 1;
    }
  }

  /** Runs the command once; gives why it failed, if it did. */
  async *#run(): AsyncGenerator<Frame, DataError | null> {
    const running = new Running(this.#command);
    this.#running = running;
    try {
      const found = findFrames(this.name, running.output, this.#format, this.#counter);
      yield* decodeFrames(found, this.#decoder, this.#counter);
      return await running.ended;
    } catch (error) {
      if (this.#closing.signal.aborted) return null;
      // What it writes are no images; that may be better after a new start.
      if (error instanceof DataError) return error;
      throw error;
    } finally {
      await running.kill();
      this.#running = null;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#running?.kill();
  }
}

/** One run of the command. */
class Running {
  readonly output: AsyncIterable<Uint8Array>;
  /** Why it failed; null after exit code 0. */
  readonly ended: Promise<DataError | null>;
  readonly #child: ChildProcess;
  readonly #killAtExit = () => this.#signal('SIGKILL');
  #closed = false;

  constructor(command: string) {
    const child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.output = child.stdout;
    let tail = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-errorTail);
    });
    this.ended = new Promise((resolve) => {
      const end = (how: string | null, cause?: Error) => {
        this.#closed = true;
        process.removeListener('exit', this.#killAtExit);
        resolve(how === null ? null : failureOf(command, how, tail, cause));
      };
      child.once('error', (error) => end(`could not be started (${error.message})`, error));
      child.once('close', (code, signal) => {
        if (code === 0) end(null);
        else end(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`);
      });
    });
    // A group of its own gets no signal from the terminal and would outlive this process.
    process.once('exit', this.#killAtExit);
  }

  /** Ends the whole group, and resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.stdout?.destroy();
    if (!this.#closed) {
      this.#signal('SIGTERM');
      const forced = setTimeout(() => this.#signal('SIGKILL'), graceMillis);
      await this.ended;
      clearTimeout(forced);
    }
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch {
      // No process of the group is left.
    }
  }
}

function failureOf(command: string, how: string, tail: string, cause: Error | undefined): DataError {
  const said = tail.trim() === '' ? '' : `; it said:\n${tail.trim()}`;
  return new DataError(`the source command ${how}: ${command}${said}`, { command, how }, { cause });
}
