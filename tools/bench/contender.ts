/** @file One side of a comparison: a process of its own that runs steps when it is told to, and waits otherwise. */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type Command, start } from './launch.ts';

/** Exit code of a contender whose libraries are not installed (torch/interpreter.py). */
const MISSING = 3;

/** A contender cannot do this here; the message says why. */
export class UnavailableError extends Error {}

export class Contender {
  readonly name: string;
  /** What it said when it was ready. */
  readonly ready: Readonly<Record<string, unknown>>;
  readonly #child: ChildProcess;
  readonly #answer: () => Promise<Record<string, unknown>>;

  private constructor(
    name: string,
    ready: Record<string, unknown>,
    child: ChildProcess,
    answer: () => Promise<Record<string, unknown>>,
  ) {
    this.name = name;
    this.ready = ready;
    this.#child = child;
    this.#answer = answer;
  }

  /**
   * Starts the process and waits until it is ready.
   * @param patienceMillis how long at most
   * @throws UnavailableError if its libraries are missing or it takes too long
   */
  static async start(name: string, command: Command, patienceMillis = Number.POSITIVE_INFINITY): Promise<Contender> {
    const child = start(command, ['pipe', 'pipe', 'pipe']);
    let complaint = '';
    child.stderr?.on('data', (chunk) => {
      complaint = `${complaint}${chunk}`.slice(-2000);
    });
    const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
      child.once('error', (error) => {
        complaint += error.message;
        resolve(null);
      });
      child.once('close', (code, signal) => resolve(code ?? signal));
    });
    let late = false;
    const kill = (): void => {
      late = true;
      child.kill('SIGKILL');
    };
    const timer = Number.isFinite(patienceMillis) ? setTimeout(kill, patienceMillis) : undefined;
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    const answer = async (): Promise<Record<string, unknown>> => {
      const { value, done } = await lines.next();
      if (!done) return JSON.parse(value) as Record<string, unknown>;
      const code = await ended;
      if (code === MISSING) throw new UnavailableError(complaint.trim());
      if (late) throw new UnavailableError(`not ready after ${patienceMillis / 1000} s`);
      throw new Error(`${name} ended with ${code}:\n${complaint}`);
    };
    const ready = await answer().finally(() => clearTimeout(timer));
    return new Contender(name, ready, child, answer);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it answers to a line. */
  async ask(line: string): Promise<Record<string, unknown>> {
    this.#child.stdin?.write(`${line}\n`);
    return this.#answer();
  }

  /** Milliseconds of so many steps. */
  async steps(count: number): Promise<number[]> {
    const { millis } = await this.ask(`steps ${count}`);
    return millis as number[];
  }

  /** Lets the process leave; its peak resident memory in bytes. */
  async end(): Promise<number> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8').catch(() => '');
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    this.#child.stdin?.end('end\n');
    const { maxRssBytes } = await this.#answer();
    // The kernel's own count for this program; what a process reports may include the one that started it.
    return kibibytes === undefined ? Number(maxRssBytes) : 1024 * Number(kibibytes);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}
