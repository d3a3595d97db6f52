/** @file One side of a comparison: a process of its own that runs steps when it is told to, and waits otherwise. */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { type Command, start } from './launch.ts';

/** Exit code of a contender whose libraries are not installed (torch/interpreter.py). */
const MISSING = 3;

/** A contender cannot run here. */
export class NotInstalledError extends Error {}

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

  /** Starts the process and waits until it is ready. @throws NotInstalledError if its libraries are missing */
  static async start(name: string, command: Command): Promise<Contender> {
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
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    const answer = async (): Promise<Record<string, unknown>> => {
      const { value, done } = await lines.next();
      if (!done) return JSON.parse(value) as Record<string, unknown>;
      const code = await ended;
      if (code === MISSING) throw new NotInstalledError(complaint.trim());
      throw new Error(`${name} ended with ${code}:\n${complaint}`);
    };
    return new Contender(name, await answer(), child, answer);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Milliseconds of so many steps. */
  async steps(count: number): Promise<number[]> {
    this.#child.stdin?.write(`steps ${count}\n`);
    const { millis } = await this.#answer();
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
