/** @file A server for a test, and clients of it: one that asks, one that listens, one that misbehaves. */
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { DashboardServer, type ServerOptions } from '../../tools/dashboard/server.ts';
import { DashboardState } from '../../tools/dashboard/state.ts';
import { nothingYet } from '../../tools/dashboard/tick.ts';
import { adaptRun } from './ticks.ts';

export interface Opened {
  readonly server: DashboardServer;
  readonly state: DashboardState;
  /** Without token and path. */
  readonly origin: string;
}

export async function open(t: ExecutionContext, options: Partial<ServerOptions> = {}): Promise<Opened> {
  const state = DashboardState.begin(adaptRun, nothingYet);
  const server = await DashboardServer.open({ host: '127.0.0.1', port: 0, token: null, ...options }, state);
  t.teardown(() => server[Symbol.asyncDispose]());
  return { server, state, origin: new URL(server.address).origin };
}

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** fetch sets headers of its own mind; this sends what it is told. */
export function ask(
  origin: string,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const asked = httpRequest({ hostname, port, path, method, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    asked.on('error', reject).end();
  });
}

export interface Heard {
  readonly event: string;
  readonly id: number;
  readonly data: unknown;
}

/** A page that reads what it is sent. */
export async function listen(t: ExecutionContext, origin: string, headers: Record<string, string> = {}) {
  const abort = new AbortController();
  t.teardown(() => abort.abort());
  const response = await fetch(`${origin}/events`, { signal: abort.signal, headers });
  const heard: Heard[] = [];
  const ended = (async () => {
    if (!response.body) return;
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of response.body) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      const messages = text.split('\n\n');
      text = messages.pop() ?? '';
      for (const message of messages) {
        const [, event, id, data] = /^event: (\w+)\nid: (\d+)\ndata: (.*)$/.exec(message) ?? [];
        if (event !== undefined && data !== undefined) heard.push({ event, id: Number(id), data: JSON.parse(data) });
      }
    }
  })().catch(() => undefined);
  return { response, heard, ended, close: () => abort.abort() };
}

export async function until(condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !condition() && performance.now() < end; ) await delay(10);
}

/** A client that sends bytes and reads nothing unless told to. */
export async function rawClient(t: ExecutionContext, origin: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(origin).port), '127.0.0.1');
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  await once(socket, 'connect');
  socket.pause();
  socket.write(text);
  return socket;
}
