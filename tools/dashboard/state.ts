/** @file What a run has told so far, in a bounded room: what the server and every page hold. Runs in the browser, too. */
import { PointHistory } from './history.ts';
import type { Ended, LogEntry, Point, Run, SeenFrame, Snapshot, Status, Tick } from './tick.ts';

/** Lines of the log, and frames, that are kept: the newest. */
export const MOST_LOG = 100;
export const MOST_FRAMES = 12;

export class DashboardState {
  readonly run: Run;
  readonly #history: PointHistory;
  readonly #log: LogEntry[];
  readonly #frames: SeenFrame[];
  #status: Status;
  #ended: Ended | null;
  #newest: Point | null;

  /** Goes on from a snapshot. */
  constructor({ run, status, ended, log, frames, ...points }: Snapshot) {
    this.run = run;
    this.#history = new PointHistory(points);
    this.#log = [...log];
    this.#frames = [...frames];
    this.#status = status;
    this.#ended = ended;
    this.#newest = points.recent.at(-1) ?? null;
  }

  /** Before the first tick. */
  static begin(run: Run, status: Status): DashboardState {
    return new DashboardState({ run, status, ended: null, recent: [], whole: [], log: [], frames: [] });
  }

  get status(): Status {
    return this.#status;
  }

  /** Null while it runs. */
  get ended(): Ended | null {
    return this.#ended;
  }

  get newest(): Point | null {
    return this.#newest;
  }

  take({ point, status, log, frames, ended }: Tick): void {
    this.#history.add(point);
    this.#newest = point;
    this.#status = status;
    this.#ended = ended ?? this.#ended;
    for (const entry of log) this.#note(entry);
    this.#frames.push(...frames);
    this.#frames.splice(0, this.#frames.length - MOST_FRAMES);
  }

  /** In the order of time. */
  recent(): readonly Point[] {
    return this.#history.recent();
  }

  whole(): readonly Point[] {
    return this.#history.whole();
  }

  log(): readonly LogEntry[] {
    return this.#log;
  }

  frames(): readonly SeenFrame[] {
    return this.#frames;
  }

  snapshot(): Snapshot {
    return {
      run: this.run,
      status: this.#status,
      ended: this.#ended,
      recent: [...this.recent()],
      whole: this.whole(),
      log: [...this.#log],
      frames: [...this.#frames],
    };
  }

  #note(entry: LogEntry): void {
    if (this.#log.at(-1)?.id === entry.id) this.#log.pop();
    this.#log.push(entry);
    if (this.#log.length > MOST_LOG) this.#log.shift();
  }
}
