/**
 * @file The page over HTTP, on this machine's own address unless told otherwise.
 *
 * - `GET /`: the page; with `?token=` it sets a cookie and goes on without the token in the address.
 * - `GET /events`: server-sent events: a `snapshot`, then `tick`s.
 * - `GET /metrics`: Prometheus.
 *
 * Refused with a JSON `error`: 401 and 403 who may not ask, 404 and 405, and 503 too many pages.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Refusal, reply } from '../../runtime/adapt/streams/http-request.ts';
import { DataError } from '../../runtime/errors.ts';
import { Access } from './access.ts';
import { EventStreams, type StreamLimits, streamLimits } from './event-streams.ts';
import { METRICS_TYPE, metricsText, type ServerCounts } from './metrics.ts';
import type { DashboardState } from './state.ts';
import type { Tick } from './tick.ts';

export interface ServerOptions {
  /** Address to listen on. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Asked of everybody; null: of nobody, which is for this machine's own addresses. */
  readonly token: string | null;
  /** Default: `streamLimits`. */
  readonly limits?: Partial<StreamLimits>;
}

/** Connections at the same time, those that say nothing included. */
const MOST_CONNECTIONS = 32;
/** For a request to arrive. */
const REQUEST_MILLIS = 5000;
/** For the last words to reach the pages. */
const CLOSE_MILLIS = 300;

const headers = {
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

export class DashboardServer implements AsyncDisposable {
  readonly #host: string;
  readonly #state: DashboardState;
  readonly #access: Access;
  readonly #streams: EventStreams;
  readonly #server: Server;
  /** Made when it is first asked for: it has the chart library in it. */
  #page: { readonly html: Buffer; readonly policy: string } | null = null;

  private constructor({ host, token, limits }: ServerOptions, state: DashboardState) {
    this.#host = host;
    this.#state = state;
    this.#access = new Access(token);
    this.#streams = new EventStreams(() => state.snapshot(), { ...streamLimits, ...limits });
    this.#server = createServer(
      {
        requestTimeout: REQUEST_MILLIS,
        headersTimeout: REQUEST_MILLIS,
        connectionsCheckingInterval: REQUEST_MILLIS,
        keepAliveTimeout: REQUEST_MILLIS,
      },
      (request, response) => {
        this.#serve(request, response).catch((error: unknown) => refuse(response, error));
      },
    );
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** @throws DataError if the port is taken, or the host unknown; its cause has the system's code */
  static async open(options: ServerOptions, state: DashboardState): Promise<DashboardServer> {
    const { host, port } = options;
    const server = new DashboardServer(options, state);
    try {
      server.#server.listen(port, host);
      await once(server.#server, 'listening');
    } catch (cause) {
      server.#streams.close();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new DataError(`cannot listen on ${host}, port ${port} (${reason})`, { host, port }, { cause });
    }
    // What it serves ends with the run, not the other way round.
    server.#server.unref();
    return server;
  }

  /** What a person opens, with the token if there is one. */
  get address(): string {
    const { port } = this.#server.address() as AddressInfo;
    const token = this.#access.token;
    const base = `http://${this.#host.includes(':') ? `[${this.#host}]` : this.#host}:${port}/`;
    return token === null ? base : `${base}?token=${encodeURIComponent(token)}`;
  }

  counts(): ServerCounts {
    return this.#streams.counts();
  }

  /** Into the state, and to every page. */
  send(tick: Tick): void {
    this.#state.take(tick);
    this.#streams.send(tick);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#streams.close();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const cut = new AbortController();
    delay(CLOSE_MILLIS, undefined, { signal: cut.signal }).then(
      () => this.#server.closeAllConnections(),
      () => {},
    );
    await closed;
    cut.abort();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const base = 'http://localhost';
    if (!URL.canParse(request.url ?? '/', base)) throw new Refusal(400, 'the address cannot be understood');
    const { pathname, searchParams } = new URL(request.url ?? '/', base);
    const asked = pathname === '/' ? searchParams.get('token') : null;
    this.#access.check(request, asked);
    if (!['/', '/events', '/metrics'].includes(pathname)) throw new Refusal(404, 'there are /, /events and /metrics');
    if (request.method !== 'GET')
      throw new Refusal(405, `${pathname} takes GET`, { allow: 'GET', connection: 'close' });
    if (pathname === '/events') this.#streams.open(response, headers);
    else if (pathname === '/metrics') this.#sendMetrics(response);
    else if (asked !== null && this.#access.token !== null) {
      response.writeHead(303, { ...headers, location: '/', 'set-cookie': this.#access.setCookie() }).end();
    } else await this.#sendPage(response);
  }

  #sendMetrics(response: ServerResponse): void {
    const text = Buffer.from(metricsText(this.#state, this.#streams.counts()));
    response.writeHead(200, { ...headers, 'content-type': METRICS_TYPE, 'content-length': text.length }).end(text);
  }

  async #sendPage(response: ServerResponse): Promise<void> {
    const { livePage } = await import('./page.ts');
    this.#page ??= livePage(this.#state.run);
    const { html, policy } = this.#page;
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/html; charset=utf-8',
      'content-length': html.length,
      'content-security-policy': policy,
    });
    response.end(html);
  }
}

function refuse(response: ServerResponse, error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  const [status, own] = error instanceof Refusal ? [error.status, error.headers] : [500, {}];
  reply(response, status, { error: text }, { ...headers, ...own });
}
