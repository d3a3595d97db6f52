/**
 * @file Frames that clients post over HTTP, each answered with its prediction.
 *
 * - `POST /frame` with a JPEG, PNG or WebP image, `?name=` at will: 200 and the prediction.
 * - `POST /label` with `{"frame": 12, "class": "cat"}`: 200 if it was joined, 404 if the frame is not kept, 409 if it is to come.
 * - `GET /stats`: 200 and the counts.
 *
 * Refused with a JSON `error`: 400 what cannot be decoded, 401 and 403 who may not ask, 404 and 405, 413, 415, and 503 what
 * comes too fast. A refused frame that reached the decoder counts as skipped.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { DataError, UsageError } from '../../errors.ts';
import { arrivesNow, type Frame } from './frame.ts';
import { type FrameDecoder, isImage } from './frame-decoder.ts';
import { type FrameReplies, type FrameSource, SourceCounter } from './frame-source.ts';
import { BodyBudget, busy, checkCaller, isLoopback, Refusal, reply, withBody } from './http-request.ts';
import type { LabelVerdict } from './late-labels.ts';
import type { Prediction } from './prediction-lines.ts';

export interface HttpOptions {
  /** Address to listen on; default 127.0.0.1. Any other than this machine's own needs a token. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Asked of every request as `Authorization: Bearer`; null asks for none. */
  readonly token: string | null;
  /** Longest image; default 16 MiB. */
  readonly limitBytes: number;
  /** Most frames that wait for their prediction; more are refused. Default 64. */
  readonly mostPending: number;
  /** How long a client may take for its request, and how long a prediction may take; default 30,000. */
  readonly timeoutMillis: number;
  /** What becomes of labels; null refuses them. */
  readonly onLabel: ((message: unknown) => LabelVerdict) | null;
  /** Further counts to be shown; null for none. */
  readonly stats: (() => object) | null;
}

const mostConnections = 256;
/** Bodies held at the same time, in images of the greatest length. */
const heldBodies = 4;
const mostLabelBytes = 2 ** 16;
const imageTypes = /^(image\/(jpeg|png|webp)|application\/octet-stream)\b/;
const labelStatus: Readonly<Record<LabelVerdict, number>> = { joined: 200, forgotten: 404, early: 409 };

interface PendingReply {
  readonly response: ServerResponse;
  readonly timer: NodeJS.Timeout;
}

export class HttpSource implements FrameSource, FrameReplies {
  readonly live = true;
  readonly replies: FrameReplies = this;
  readonly #server: Server;
  readonly #options: HttpOptions;
  readonly #decoder: FrameDecoder;
  readonly #counter = new SourceCounter();
  readonly #budget: BodyBudget;
  /** Frames that nobody has taken yet. */
  readonly #ready: Frame[] = [];
  readonly #pending = new Map<number, PendingReply>();
  /** Frames being decoded, which will be pending. */
  #decoding = 0;
  #wake: (() => void) | null = null;
  #closed = false;

  private constructor(options: HttpOptions, decoder: FrameDecoder) {
    this.#options = options;
    this.#decoder = decoder;
    this.#budget = new BodyBudget(heldBodies * options.limitBytes);
    this.#server = createServer(
      {
        requestTimeout: options.timeoutMillis,
        headersTimeout: options.timeoutMillis,
        connectionsCheckingInterval: Math.min(5000, options.timeoutMillis),
        keepAliveTimeout: 5000,
      },
      (request, response) => {
        this.#serve(request, response).catch((error: unknown) => refuse(response, error));
      },
    );
    this.#server.maxConnections = mostConnections;
  }

  /**
   * @throws UsageError if the host is not this machine's own and there is no token
   * @throws DataError if the port is taken, or the host unknown
   */
  static async open(options: HttpOptions, decoder: FrameDecoder): Promise<HttpSource> {
    const { host, port, token } = options;
    if (!isLoopback(host) && !token) {
      throw new UsageError(
        `host: ${host} can be reached from other machines, which needs a token\n` +
          'Hint: give one, or listen on 127.0.0.1.',
        { host },
      );
    }
    const source = new HttpSource(options, decoder);
    try {
      source.#server.listen(port, host);
      await once(source.#server, 'listening');
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new DataError(`cannot listen on ${host}, port ${port} (${reason})`, { host, port }, { cause });
    }
    return source;
  }

  /** Its address, with the port that was taken. */
  get name(): string {
    const { host } = this.#options;
    return `http://${host.includes(':') ? `[${host}]` : host}:${(this.#server.address() as AddressInfo | null)?.port}`;
  }

  counts() {
    return this.#counter.counts();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Frame> {
    for (;;) {
      for (let frame = this.#ready.shift(); frame; frame = this.#ready.shift()) yield frame;
      if (this.#closed) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  answer(prediction: Prediction): void {
    this.#settle(prediction.frame, (response) => reply(response, 200, prediction));
  }

  refuse({ index }: Frame, reason: string): void {
    this.#settle(index, (response) => refuse(response, busy(reason)));
  }

  #settle(index: number, respond: (response: ServerResponse) => void): void {
    const pending = this.#pending.get(index);
    if (!pending) return;
    this.#pending.delete(index);
    clearTimeout(pending.timer);
    respond(pending.response);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    checkCaller(request, this.#options.token);
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const expect = (method: string) => {
      if (request.method !== method) throw new Refusal(405, `${pathname} takes ${method}`, { allow: method });
    };
    if (pathname === '/frame') {
      expect('POST');
      await this.#takeFrame(request, response, searchParams.get('name'));
    } else if (pathname === '/label') {
      expect('POST');
      await this.#takeLabel(request, response);
    } else if (pathname === '/stats') {
      expect('GET');
      reply(response, 200, { ...this.counts(), pending: this.#pending.size, ...this.#options.stats?.() });
    } else throw new Refusal(404, 'there are POST /frame, POST /label and GET /stats');
  }

  async #takeFrame(request: IncomingMessage, response: ServerResponse, name: string | null): Promise<void> {
    const type = request.headers['content-type'];
    if (type !== undefined && !imageTypes.test(type)) throw new Refusal(415, `${imageText}, not ${type}`);
    this.#checkRoom();
    await withBody(request, this.#options.limitBytes, this.#budget, async (body) => {
      this.#checkRoom();
      const index = this.#counter.see();
      const frame = { index, name: name?.slice(0, 200) ?? `http:${index}`, arrival: arrivesNow() };
      this.#decoding += 1;
      try {
        this.#enqueue({ ...frame, pixels: await this.#decode(body) }, response);
      } finally {
        this.#decoding -= 1;
      }
    });
  }

  async #decode(body: Buffer): Promise<Uint8Array> {
    const decoded = await this.#decoder.decode({ kind: 'encoded', bytes: body });
    if (decoded.kind === 'pixels') return decoded.pixels;
    this.#counter.skip(decoded.reason);
    throw isImage(body)
      ? new Refusal(400, `the image cannot be decoded: ${decoded.reason}`)
      : new Refusal(415, imageText);
  }

  #enqueue(frame: Frame, response: ServerResponse): void {
    const giveUp = () => this.refuse(frame, 'the prediction took too long');
    const timer = setTimeout(giveUp, this.#options.timeoutMillis);
    this.#pending.set(frame.index, { response, timer });
    if (this.#closed) this.refuse(frame, 'the endpoint closes');
    else this.#ready.push(frame);
    this.#wake?.();
  }

  #checkRoom(): void {
    if (this.#closed) throw busy('the endpoint closes');
    if (this.#pending.size + this.#decoding >= this.#options.mostPending) throw busy('too many frames wait');
  }

  async #takeLabel(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { onLabel } = this.#options;
    if (onLabel === null) throw new Refusal(404, 'labels are not taken');
    await withBody(request, mostLabelBytes, this.#budget, async (body) => {
      const status = onLabel(parseJson(body));
      reply(response, labelStatus[status], { status });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const index of [...this.#pending.keys()]) {
      this.#settle(index, (response) => refuse(response, busy('the endpoint closes')));
    }
    this.#server.closeIdleConnections();
    const cut = new AbortController();
    // Answers under way get a moment; who is slower is cut off.
    delay(200, undefined, { signal: cut.signal }).then(
      () => this.#server.closeAllConnections(),
      () => {},
    );
    await closed;
    cut.abort();
  }
}

const imageText = 'expected a JPEG, PNG or WebP image';

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new Refusal(400, 'the body is not JSON');
  }
}

function refuse(response: ServerResponse, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Refusal) reply(response, error.status, { error: message }, error.headers);
  else reply(response, error instanceof DataError ? 400 : 500, { error: message });
}
