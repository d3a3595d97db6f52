/**
 * @file What a profiled command says of itself: JSON lines into a pipe that its profiler opened (messages.ts reads them). Without a
 * profiler nothing is opened and nothing is done.
 */
import { fstatSync, readFileSync, writeSync } from 'node:fs';
import type { Plan } from '../../runtime/plan/plan.ts';
import { plannedRun } from './planned-run.ts';
import type { Mark, StepTime } from './record.ts';

/** Environment variable with the number of the pipe's file descriptor. */
export const FD_VARIABLE = 'EDGESHIFT_PROFILE_FD';

/** Set to 1 where the profiler has a live page (tools/dashboard). */
export const LIVE_VARIABLE = 'EDGESHIFT_PROFILE_LIVE';

/** Between two reports of the JavaScript heap. */
const HEAP_MILLIS = 250;

/** Never throws: a profiler that is gone must not end what it measured. */
export class ProfileEmitter {
  /** Whether ticks of a live page are wanted. */
  readonly isLive: boolean;
  readonly #timer: NodeJS.Timeout;
  #fd: number | null;

  private constructor(fd: number, isLive: boolean) {
    this.#fd = fd;
    this.isLive = isLive;
    this.#timer = setInterval(() => this.#heap(), HEAP_MILLIS).unref();
    this.#heap();
  }

  /** Null where nobody profiles. Processes that this one starts are not to write into the same pipe. */
  static open(): ProfileEmitter | null {
    const text = process.env[FD_VARIABLE];
    if (text === undefined) return null;
    const isLive = process.env[LIVE_VARIABLE] === '1';
    delete process.env[FD_VARIABLE];
    delete process.env[LIVE_VARIABLE];
    return isPipe(Number(text)) ? new ProfileEmitter(Number(text), isLive) : null;
  }

  planned(plan: Plan): void {
    this.#write({ kind: 'planned', ...plannedRun(plan) });
  }

  /** @param number of the step or epoch, from 1 */
  mark(mark: Mark['kind'], number = 0, millis: number | null = null): void {
    this.#write({ kind: 'mark', mark, number, millis });
  }

  steps(steps: readonly StepTime[]): void {
    this.#write({ kind: 'steps', steps });
  }

  /** @param tick of the live page */
  live(tick: object): void {
    this.#write({ kind: 'live', tick });
  }

  /** Highest byte of the arena that was touched. */
  arena(bytes: number): void {
    this.#write({ kind: 'arena', bytes });
  }

  /** Ends the reports, with the peak of this process's resident memory, which nobody can read any more once it has ended. */
  close(): void {
    this.#heap();
    const peak = peakRssBytes();
    if (peak !== null) this.#write({ kind: 'rss', bytes: peak });
    clearInterval(this.#timer);
    this.#fd = null;
  }

  #heap(): void {
    this.#write({ kind: 'heap', bytes: process.memoryUsage().heapUsed });
  }

  #write(message: object): void {
    const line = Buffer.from(`${JSON.stringify(message)}\n`);
    for (let done = 0; this.#fd !== null && done < line.length; ) {
      try {
        done += writeSync(this.#fd, line, done);
      } catch {
        clearInterval(this.#timer);
        this.#fd = null;
      }
    }
  }
}

/** VmHWM. What getrusage says counts the process that started this one, too, from before it became another program. */
function peakRssBytes(): number | null {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return kibibytes === undefined ? null : 1024 * Number(kibibytes);
  } catch {
    return null;
  }
}

/** A number that was inherited by accident may be any file. */
function isPipe(fd: number): boolean {
  if (!Number.isInteger(fd) || fd < 3) return false;
  try {
    const stat = fstatSync(fd);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}
