/** @file Lines for the page's log: the same again is counted, and many at once are cut short. */
import type { LogEntry } from './tick.ts';

/** Lines of one tick; what comes on top is counted in one more. */
const MOST_NEW = 8;
/** Characters of a line: messages may hold whatever a file's name or a command said. */
const MOST_TEXT = 300;

export class EventLog {
  readonly #fresh: LogEntry[] = [];
  #last: LogEntry | null = null;
  #ids = 0;

  /** @param at milliseconds since the run began */
  add(at: number, text: string, tone: LogEntry['tone'] = 'plain'): void {
    const line = text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT - 1)}…` : text;
    const full = this.#fresh.length >= MOST_NEW;
    this.#put(at, full ? 'more than can be shown' : line, full ? 'plain' : tone);
  }

  /** Entries since it was last called. */
  take(): readonly LogEntry[] {
    return this.#fresh.splice(0);
  }

  #put(at: number, text: string, tone: LogEntry['tone']): void {
    const last = this.#last;
    if (last?.text === text && last.tone === tone) {
      this.#last = { ...last, at, count: last.count + 1 };
      if (this.#fresh.at(-1)?.id === last.id) this.#fresh.pop();
    } else this.#last = { id: ++this.#ids, at, tone, text, count: 1 };
    this.#fresh.push(this.#last);
  }
}
