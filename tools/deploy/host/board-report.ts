/** @file What a board says of itself, as plain data read from the `key=value` lines of board.sh. */

/** How long a board's answer may be trusted: not beyond the command that asked for it. */
export interface BoardReport {
  /** As `uname -m` names it. */
  readonly machine: string;
  /** Such as `glibc 2.31`; empty if it could not be told. */
  readonly libc: string;
  /** Null: there is none on the path of a remote command. */
  readonly node: string | null;
  readonly freeBytes: number;
  /** What a new process may take: what is available, and what the service that it replaces holds. */
  readonly memoryBytes: number;
  /** Programs that board.sh needs and does not find. */
  readonly lacking: readonly string[];
  readonly manager: string;
  readonly current: string | null;
  readonly writable: boolean;
}

export interface BoardStatus {
  readonly manager: string;
  readonly current: string | null;
  /** Where `rollback` leads. */
  readonly former: string | null;
  /** The release whose process runs, as it says itself. */
  readonly serving: string | null;
  readonly pid: number | null;
  readonly freeBytes: number;
  /** Who pushes at this moment. */
  readonly holder: string | null;
  /** A switch that was not confirmed yet. */
  readonly pending: string | null;
  readonly releases: readonly string[];
  /** What the service writes into status.json; null if it has written nothing that can be read. */
  readonly service: Readonly<Record<string, unknown>> | null;
  /** The last switches, oldest first: time, release, what, result. */
  readonly history: readonly string[];
}

/** Values of each key, in their order. */
export type Reply = ReadonlyMap<string, readonly string[]>;

export function parseReply(text: string): Reply {
  const reply = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at < 1) continue;
    const values = reply.get(line.slice(0, at)) ?? [];
    values.push(line.slice(at + 1).trim());
    reply.set(line.slice(0, at), values);
  }
  return reply;
}

export const replied = (reply: Reply, key: string): string => reply.get(key)?.at(-1) ?? '';
const orNull = (text: string): string | null => (text === '' ? null : text);
/** NaN where the board said no number, which no comparison takes for enough. */
const numberOf = (text: string): number => (/^\d+$/.test(text) ? Number(text) : Number.NaN);

export function boardReport(reply: Reply): BoardReport {
  const value = (key: string) => replied(reply, key);
  return {
    machine: value('machine'),
    libc: value('libc'),
    node: orNull(value('node').replace(/^v/, '')),
    freeBytes: numberOf(value('free')),
    memoryBytes: numberOf(value('memory')) + (numberOf(value('held')) || 0),
    lacking: value('lacking').split(' ').filter(Boolean),
    manager: value('manager'),
    current: orNull(value('current')),
    writable: value('writable') === 'yes',
  };
}

export function boardStatus(reply: Reply): BoardStatus {
  const value = (key: string) => orNull(replied(reply, key));
  return {
    manager: replied(reply, 'manager'),
    current: value('current'),
    former: value('former'),
    serving: value('serving'),
    pid: value('pid') === null ? null : numberOf(replied(reply, 'pid')),
    freeBytes: numberOf(replied(reply, 'free')),
    holder: value('holder'),
    pending: value('pending'),
    releases: reply.get('release') ?? [],
    service: jsonOf(replied(reply, 'status')),
    history: reply.get('history') ?? [],
  };
}

function jsonOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? (value as Readonly<Record<string, unknown>> | null) : null;
  } catch {
    return null;
  }
}
