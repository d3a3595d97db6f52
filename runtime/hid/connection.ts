/** @file Keeps a device open: what was unplugged is looked for again, less and less often. */
import type { Clock } from './clock.ts';
import type { OpenTransport, Transport } from './transport.ts';

export interface ConnectionOptions {
  readonly open: OpenTransport;
  readonly clock: Clock;
  readonly onReport: (report: Uint8Array) => void;
  /**
   * Works with the open device until it is lost or the connection is to be closed. Returning earlier, or throwing,
   * gives the device up: it is closed and opened again.
   */
  readonly serve: (transport: Transport, signals: ServeSignals) => Promise<void>;
}

export interface ServeSignals {
  /** Aborted with the error when the device is lost. */
  readonly lost: AbortSignal;
  /** Aborted when the connection is to be closed; the device is still open. */
  readonly closing: AbortSignal;
}

export interface ConnectionCounts {
  readonly connected: boolean;
  /** How often the device was lost or given up. */
  readonly losses: number;
  /** Attempts to open it that failed since. */
  readonly failedAttempts: number;
  /** Of the last of either; null if there was none. */
  readonly lastError: string | null;
}

/** Wait before the first attempt to open a lost device; each further one in a row takes twice as long. */
const FIRST_WAIT_MILLIS = 250;
const LONGEST_WAIT_MILLIS = 30_000;

export class Connection implements AsyncDisposable {
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  #kept: Promise<void> = Promise.resolve();
  #connected = false;
  #losses = 0;
  #failedAttempts = 0;
  #lastError: string | null = null;
  /** Losses and failures since the last report. */
  #inRow = 0;

  private constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** @throws DataError if the device cannot be opened now; later losses are no errors */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const connection = new Connection(options);
    const first = await connection.#connect();
    connection.#kept = connection.#keep(first);
    return connection;
  }

  counts(): ConnectionCounts {
    return {
      connected: this.#connected,
      losses: this.#losses,
      failedAttempts: this.#failedAttempts,
      lastError: this.#lastError,
    };
  }

  /** Resolves when the device was let go. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#kept;
  }

  async #keep(first: Opened): Promise<void> {
    const { clock } = this.#options;
    const closing = this.#closing.signal;
    for (let opened: Opened | null = first; !closing.aborted; opened = await this.#reconnect()) {
      if (opened === null) continue;
      await this.#serve(opened);
      if (closing.aborted) return;
      this.#losses += 1;
      await clock.wait(this.#nextWait(), closing);
    }
  }

  async #serve({ transport, lost }: Opened): Promise<void> {
    try {
      await this.#options.serve(transport, { lost, closing: this.#closing.signal });
    } catch (error) {
      this.#lastError = textOf(error);
    } finally {
      this.#connected = false;
      await transport.close().catch(() => {});
    }
    if (lost.aborted) this.#lastError = textOf(lost.reason);
  }

  async #reconnect(): Promise<Opened | null> {
    const { clock } = this.#options;
    const closing = this.#closing.signal;
    if (closing.aborted) return null;
    try {
      const opened = await this.#connect();
      if (!closing.aborted) return opened;
      // Found when nobody wants it any more.
      this.#connected = false;
      await opened.transport.close();
      return null;
    } catch (error) {
      this.#failedAttempts += 1;
      this.#lastError = textOf(error);
      await clock.wait(this.#nextWait(), closing);
      return null;
    }
  }

  async #connect(): Promise<Opened> {
    const losing = new AbortController();
    const transport = await this.#options.open({
      onReport: (report) => {
        this.#inRow = 0;
        if (!losing.signal.aborted) this.#options.onReport(report);
      },
      onError: (error) => losing.abort(error),
    });
    this.#connected = true;
    return { transport, lost: losing.signal };
  }

  #nextWait(): number {
    const wait = Math.min(LONGEST_WAIT_MILLIS, FIRST_WAIT_MILLIS * 2 ** this.#inRow);
    this.#inRow += 1;
    return wait;
  }
}

interface Opened {
  readonly transport: Transport;
  /** Aborted with the error when the device is lost. */
  readonly lost: AbortSignal;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
