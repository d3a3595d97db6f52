/** @file What a request must be to be heard, its body within limits, and the JSON that answers it. */

import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request that cannot be served; its text is the answer. */
export class Refusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Refuses who may not ask. With a token: everybody without it. Without one: web pages of other machines that reach this one
 * through the user's browser, by their origin or by a name that was made to point here.
 */
export function checkCaller({ headers }: IncomingMessage, token: string | null): void {
  if (token !== null) {
    const given = Buffer.from(headers.authorization ?? '');
    const expected = Buffer.from(`Bearer ${token}`);
    if (given.length === expected.length && timingSafeEqual(given, expected)) return;
    throw new Refusal(401, 'expected the header "Authorization: Bearer <token>"', { 'www-authenticate': 'Bearer' });
  }
  for (const url of [`http://${headers.host ?? ''}`, headers.origin]) {
    if (url !== undefined && !(URL.canParse(url) && isLoopback(new URL(url).hostname))) {
      throw new Refusal(403, 'only callers on this machine are served');
    }
  }
}

/** Bytes of bodies that are held at the same time, over all requests. */
export class BodyBudget {
  readonly #limitBytes: number;
  #held = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get heldBytes(): number {
    return this.#held;
  }

  hold(bytes: number): void {
    if (this.#held + bytes > this.#limitBytes) throw busy('too many bytes are being received');
    this.#held += bytes;
  }

  free(bytes: number): void {
    this.#held -= bytes;
  }
}

export function busy(reason: string): Refusal {
  return new Refusal(503, reason, { 'retry-after': '1' });
}

/** Reads the body; its bytes are held in the budget while `use` runs. */
export async function withBody<T>(
  request: IncomingMessage,
  limitBytes: number,
  budget: BodyBudget,
  use: (body: Buffer) => Promise<T>,
): Promise<T> {
  const tooLong = () => new Refusal(413, `the body must not be longer than ${limitBytes} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw tooLong();
  let length = 0;
  const chunks: Buffer[] = [];
  try {
    // The request must outlive a refusal, or the connection is gone before its answer.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      budget.hold(chunk.length);
      length += chunk.length;
      if (length > limitBytes) throw tooLong();
      chunks.push(chunk);
    }
    if (length === 0) throw new Refusal(400, 'the body is empty');
    return await use(Buffer.concat(chunks));
  } finally {
    budget.free(length);
  }
}

/** Does nothing if the request was answered before, or the client is gone. */
export function reply(response: ServerResponse, status: number, body: object, headers: object = {}): void {
  if (response.headersSent || response.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}
