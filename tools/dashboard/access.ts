/** @file Who may see the page: everybody on this machine, or whoever has the token. */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { checkCaller, isLoopback } from '../../runtime/adapt/streams/http-request.ts';

/** Environment variable with the token, for those who have to know it beforehand, such as a Prometheus server. */
export const TOKEN_VARIABLE = 'EDGESHIFT_DASHBOARD_TOKEN';

/** The token that was set, one for this run alone where other machines reach the page, or none on this machine's own addresses. */
export function tokenFor(host: string, environment: NodeJS.ProcessEnv): string | null {
  const given = environment[TOKEN_VARIABLE];
  if (given !== undefined && given !== '') return given;
  return isLoopback(host) ? null : randomBytes(18).toString('base64url');
}

/** Lets callers in by header, by cookie, or by the address that a person opens, which the cookie then stands for. */
export class Access {
  readonly token: string | null;
  /** Of one token: cookies of a machine are those of all its ports. */
  readonly #cookie: string;

  constructor(token: string | null) {
    this.token = token;
    const name = createHash('sha256').update(`edgeshift cookie ${token}`).digest('hex').slice(0, 16);
    this.#cookie = `edgeshift-${name}`;
  }

  /**
   * Browsers send a header neither with an address that is opened nor with a stream of events.
   * @throws Refusal
   */
  check(request: IncomingMessage, asked: string | null): void {
    const given = asked ?? this.#cookieOf(request);
    if (this.token !== null && given !== null) request.headers.authorization ??= `Bearer ${given}`;
    checkCaller(request, this.token);
  }

  /** Header that makes a browser send the token from now on, to this address alone and never for pages of others. */
  setCookie(): string {
    return `${this.#cookie}=${encodeURIComponent(this.token ?? '')}; HttpOnly; SameSite=Strict; Path=/`;
  }

  #cookieOf({ headers }: IncomingMessage): string | null {
    const prefix = `${this.#cookie}=`;
    const found = (headers.cookie ?? '').split('; ').find((pair) => pair.startsWith(prefix));
    if (found === undefined) return null;
    try {
      return decodeURIComponent(found.slice(prefix.length));
    } catch {
      return null;
    }
  }
}
