/**
 * @file How a service tells what it does: a file for whoever looks on, and messages for systemd.
 *
 * Node has no datagram sockets of the Unix kind, so systemd is told by its own `systemd-notify`, with NotifyAccess=all in the unit.
 */
import { spawn } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';

export type ServiceState = 'starting' | 'ready' | 'stopping' | 'failed';

/** The file's content. */
export interface StatusRecord {
  readonly state: ServiceState;
  readonly pid: number;
  /** Id of the bundle; null if it is not known. */
  readonly release: string | null;
  /** ISO times. */
  readonly startedAt: string;
  readonly updatedAt: string;
  /** Frames predicted, or steps trained, and those of them after which the model was another. */
  readonly frames: number;
  readonly updates: number;
  /** Why it failed. */
  readonly error: string | null;
}

export type ServiceCounts = Pick<StatusRecord, 'frames' | 'updates'>;

type Environment = Readonly<Record<string, string | undefined>>;

/** Between two writings of the file while nothing but counts changes. */
const WRITE_MILLIS = 5000;
/** Of the time after which systemd takes a silent service for stuck. */
const WATCHDOG_SHARE = 1 / 4;
/** How long the end waits for the last message. */
const LAST_MILLIS = 2000;

/** Null where nobody asked: EDGESHIFT_STATUS names the file, NOTIFY_SOCKET is systemd's. */
export function openServiceStatus(environment: Environment = process.env): ServiceStatus | null {
  const { EDGESHIFT_STATUS: file, NOTIFY_SOCKET: socket } = environment;
  return file || socket ? new ServiceStatus(environment) : null;
}

/** Runs a service's work: what it throws is told, and so is its end. Null is handed to it where nobody asked. */
export async function asService<T>(work: (status: ServiceStatus | null) => Promise<T>): Promise<T> {
  await using status = openServiceStatus();
  try {
    return await work(status);
  } catch (error) {
    status?.failed(error);
    throw error;
  }
}

/** The process stays alive no longer for it, and nothing that goes wrong here stops the service. */
export class ServiceStatus implements AsyncDisposable {
  readonly #file: string | null;
  readonly #manager: Manager | null;
  readonly #timers: readonly NodeJS.Timeout[];
  #record: Omit<StatusRecord, 'updatedAt'>;
  #isComplaining = false;

  constructor(environment: Environment) {
    const { EDGESHIFT_STATUS: file, EDGESHIFT_RELEASE: release } = environment;
    this.#file = file || null;
    this.#manager = environment.NOTIFY_SOCKET ? new Manager() : null;
    this.#record = {
      ...{ state: 'starting', pid: process.pid, release: release || null, startedAt: new Date().toISOString() },
      ...{ frames: 0, updates: 0, error: null },
    };
    this.#write();
    const watchdogMillis = (Number(environment.WATCHDOG_USEC ?? 0) / 1000) * WATCHDOG_SHARE;
    const writing = setInterval(() => this.#write(), WRITE_MILLIS).unref();
    const isWatched = this.#manager !== null && watchdogMillis > 0;
    // As long as this thread answers; until it is ready, the time to start counts.
    this.#timers = isWatched ? [writing, setInterval(() => this.#alive(), watchdogMillis).unref()] : [writing];
  }

  /** The model is open and frames are waited for. */
  ready(): void {
    if (this.#record.state !== 'starting') return;
    this.#become('ready');
    this.#alive();
  }

  /** Seen at the next writing. */
  progress(counts: ServiceCounts): void {
    this.#record = { ...this.#record, ...counts };
  }

  /** Asked to end, or at the end; frames that wait may still be handled. */
  stopping(): void {
    if (this.#record.state === 'stopping' || this.#record.state === 'failed') return;
    this.#become('stopping');
    this.#manager?.tell(['STOPPING=1']);
  }

  failed(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#record = { ...this.#record, error: text };
    this.#become('failed');
    this.#manager?.tell(['STOPPING=1', `STATUS=${text.split('\n')[0]}`]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.stopping();
    // Frames may have been handled since it was asked to end.
    this.#write();
    await this.#manager?.told();
  }

  #become(state: ServiceState): void {
    this.#record = { ...this.#record, state };
    this.#write();
  }

  /** That it is ready is said each time: older versions of systemd lose messages of programs that end at once. */
  #alive(): void {
    if (this.#record.state === 'ready') this.#manager?.tell(['READY=1', 'WATCHDOG=1']);
    else if (this.#record.state === 'stopping') this.#manager?.tell(['WATCHDOG=1']);
  }

  /** Whole or not at all. It is not synced to the disk: after a loss of power it would be of no use, and cards wear out. */
  #write(): void {
    if (this.#file === null) return;
    const record: StatusRecord = { ...this.#record, updatedAt: new Date().toISOString() };
    const temporary = `${this.#file}.${process.pid}.tmp`;
    try {
      writeFileSync(temporary, `${JSON.stringify(record)}\n`);
      renameSync(temporary, this.#file);
      this.#isComplaining = false;
    } catch (error) {
      if (!this.#isComplaining) console.error(`edgeshift: cannot write the status: ${(error as Error).message}`);
      this.#isComplaining = true;
    }
  }
}

/** Messages to systemd, one after the other. */
class Manager {
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  tell(messages: readonly string[]): void {
    // Where systemd does not answer, messages that say the same again are left out.
    if (this.#waiting > 1) return;
    this.#waiting += 1;
    this.#last = this.#last
      .then(() => notify(messages))
      .then(() => {
        this.#waiting -= 1;
      });
  }

  /** Resolves when all was said, or it took too long. */
  async told(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_MILLIS);
    });
    await Promise.race([this.#last, late]);
    clearTimeout(timer);
  }
}

/** Resolves when the program ended, whether it could be started or not. */
function notify(messages: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn('systemd-notify', messages, { stdio: 'ignore' });
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
}
