/**
 * @file Server-sent events to a bounded number of pages, each with a bounded number of bytes that wait for it: a page that does not
 * read leaves ticks out and is sent a snapshot once it has read what it has. Source: HTML standard, "Server-sent events".
 */
import type { ServerResponse } from 'node:http';
import { busy } from '../../runtime/adapt/streams/http-request.ts';
import type { ServerCounts } from './metrics.ts';

export interface StreamLimits {
  /** Pages that are served at the same time. */
  readonly mostPages: number;
  /** Bytes that may wait for a page before ticks are left out. */
  readonly mostWaitingBytes: number;
  /** After which a page that reads nothing is cut off. */
  readonly patienceMillis: number;
  /** Between two signs of life where there are no ticks. */
  readonly heartbeatMillis: number;
}

export const streamLimits: StreamLimits = {
  mostPages: 8,
  mostWaitingBytes: 2 ** 16,
  patienceMillis: 30_000,
  heartbeatMillis: 10_000,
};

interface Page {
  readonly response: ServerResponse;
  /** Since when it leaves ticks out; null: it has had all. */
  behindSince: number | null;
}

/** After which a page asks again, once its connection was lost. */
const RETRY_MILLIS = 2000;

/** A message as it goes over the line. @param data JSON, which has no line breaks */
const message = (event: string, id: number, data: string): string => `event: ${event}\nid: ${id}\ndata: ${data}\n\n`;

export class EventStreams {
  readonly #limits: StreamLimits;
  readonly #snapshot: () => object;
  readonly #pages = new Set<Page>();
  readonly #heartbeat: NodeJS.Timeout;
  #id = 0;
  #skippedTicks = 0;
  /** Of the current tick, for all pages that ask during it. */
  #snapshotText: string | null = null;

  /** @param snapshot what a page is sent that comes late, or has fallen behind */
  constructor(snapshot: () => object, limits: StreamLimits) {
    this.#limits = limits;
    this.#snapshot = snapshot;
    this.#heartbeat = setInterval(() => this.#send(':\n\n'), limits.heartbeatMillis).unref();
  }

  counts(): ServerCounts {
    return { pages: this.#pages.size, skippedTicks: this.#skippedTicks };
  }

  /** @throws Refusal if there are too many */
  open(response: ServerResponse, headers: object): void {
    if (this.#pages.size >= this.#limits.mostPages) throw busy('too many pages are open');
    const page: Page = { response, behindSince: null };
    this.#pages.add(page);
    response.once('close', () => this.#pages.delete(page));
    response.writeHead(200, { ...headers, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
    response.write(`retry: ${RETRY_MILLIS}\n\n${this.#snapshotMessage()}`);
  }

  /** Sends a tick to every page that has read what it was sent. */
  send(tick: object): void {
    this.#id += 1;
    this.#snapshotText = null;
    if (this.#pages.size > 0) this.#send(message('tick', this.#id, JSON.stringify(tick)));
  }

  /** Ends the streams; pages that do not read are cut off by whoever closes the server. */
  close(): void {
    clearInterval(this.#heartbeat);
    for (const { response } of this.#pages) response.end();
  }

  #send(text: string): void {
    for (const page of this.#pages) {
      const { response } = page;
      if (page.behindSince !== null && response.writableLength === 0) {
        page.behindSince = null;
        response.write(this.#snapshotMessage());
      } else if (page.behindSince === null && response.writableLength <= this.#limits.mostWaitingBytes) {
        response.write(text);
      } else this.#leaveOut(page);
    }
  }

  #leaveOut(page: Page): void {
    this.#skippedTicks += 1;
    const now = performance.now();
    page.behindSince ??= now;
    if (now - page.behindSince > this.#limits.patienceMillis) page.response.destroy();
  }

  #snapshotMessage(): string {
    this.#snapshotText ??= message('snapshot', this.#id, JSON.stringify(this.#snapshot()));
    return this.#snapshotText;
  }
}
