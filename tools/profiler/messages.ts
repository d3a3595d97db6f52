/** @file The lines that a profiled command writes (emit.ts), read and checked. */
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { z } from 'zod';
import type { Mark, PlannedRun, StepTime } from './record.ts';
import { bytes, markKind, millis, planned, step } from './record-schema.ts';

const message = z.discriminatedUnion('kind', [
  planned.extend({ kind: z.literal('planned') }),
  z.object({
    kind: z.literal('mark'),
    mark: markKind,
    number: z.int().nonnegative(),
    millis: millis.nullable(),
  }),
  z.object({ kind: z.literal('steps'), steps: z.array(step) }),
  z.object({ kind: z.literal('heap'), bytes }),
  z.object({ kind: z.literal('arena'), bytes }),
  z.object({ kind: z.literal('rss'), bytes }),
  // Goes on to the live page as it is.
  z.object({ kind: z.literal('live'), tick: z.looseObject({ point: z.looseObject({ at: millis }) }) }),
]);

export type Message = z.infer<typeof message>;

/** The message of a line; null if it is none. */
export function parseMessage(line: string): Message | null {
  try {
    const { success, data } = message.safeParse(JSON.parse(line));
    return success ? data : null;
  } catch {
    return null;
  }
}

/** What a command has said. */
export class Heard {
  planned: PlannedRun | null = null;
  steps: readonly StepTime[] = [];
  /** Newest, as the command counts it. */
  heapBytes: number | null = null;
  arenaBytes: number | null = null;
  /** Peak at the end. */
  rssBytes: number | null = null;
  /** Lines that were no messages. */
  garbled = 0;
  readonly #onMark: (mark: Omit<Mark, 'at'>) => void;
  readonly #onTick: (tick: object) => void;

  /** @param onTick told what is for a live page */
  constructor(onMark: (mark: Omit<Mark, 'at'>) => void, onTick: (tick: object) => void = () => undefined) {
    this.#onMark = onMark;
    this.#onTick = onTick;
  }

  /** Resolves when the command has closed its end. */
  async listen(pipe: Readable): Promise<void> {
    const lines = createInterface({ input: pipe, crlfDelay: Number.POSITIVE_INFINITY });
    lines.on('line', (line) => this.take(line));
    await new Promise<void>((resolve) => {
      lines.once('close', resolve);
      // A reset of the pipe is an end like any other.
      pipe.once('error', () => lines.close());
    });
  }

  take(line: string): void {
    const said = parseMessage(line);
    switch (said?.kind) {
      case 'planned': {
        const { kind: _, ...planned } = said;
        this.planned = planned;
        return;
      }
      case 'mark':
        this.#onMark({ kind: said.mark, number: said.number, millis: said.millis });
        return;
      case 'steps':
        this.steps = said.steps;
        return;
      case 'heap':
        this.heapBytes = said.bytes;
        return;
      case 'arena':
        this.arenaBytes = Math.max(this.arenaBytes ?? 0, said.bytes);
        return;
      case 'rss':
        this.rssBytes = said.bytes;
        return;
      case 'live':
        this.#onTick(said.tick);
        return;
      default:
        this.garbled += 1;
    }
  }
}
