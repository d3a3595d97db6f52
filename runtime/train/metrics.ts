/** @file The run's measurements: metrics.jsonl, one JSON object a line, cut back to the checkpoint when a run resumes. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { diskError } from '../delta/atomic-file.ts';
import type { GovernorEvent } from '../governor/governor.ts';

export interface StepMetrics {
  readonly kind: 'step';
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** Share of the batch classified rightly. */
  readonly accuracy: number;
  /** The schedule's factor on the learning rates. */
  readonly rate: number;
  readonly millis: number;
}

export interface EpochMetrics {
  readonly kind: 'epoch';
  readonly step: number;
  readonly epoch: number;
  readonly trainAccuracy: number;
  /** Null without a validation split. */
  readonly validationAccuracy: number | null;
}

/** What was done about memory, when `step` steps had been taken. */
export interface GovernorMetrics extends GovernorEvent {
  readonly step: number;
  readonly epoch: number;
}

export type Metrics = StepMetrics | EpochMetrics | GovernorMetrics;

export class MetricsFile implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens the file and drops what was measured after the checkpoint at `step` of `epoch` (a torn last line too); step 0
   * starts anew.
   * @throws DataError if it cannot be written
   */
  static async open(
    path: string,
    { step: upTo, epoch: current }: { step: number; epoch: number },
  ): Promise<MetricsFile> {
    const measured = upTo > 0 ? await readMetrics(path) : [];
    // The checkpoint of an epoch's last step may be older than the epoch's own line, which then is written again.
    const kept = measured.filter(({ kind, step, epoch }) => step <= upTo && (kind !== 'epoch' || epoch < current));
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      const file = await open(temporary, 'w');
      await file.writeFile(kept.map((metrics) => `${JSON.stringify(metrics)}\n`).join(''));
      await rename(temporary, path);
      return new MetricsFile(path, file);
    } catch (cause) {
      throw diskError(path, cause);
    }
  }

  async append(metrics: Metrics): Promise<void> {
    try {
      await this.#file.appendFile(`${JSON.stringify(metrics)}\n`);
    } catch (cause) {
      throw diskError(this.#path, cause);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

/** All whole lines of a metrics file; none if there is no file. */
export async function readMetrics(path: string): Promise<Metrics[]> {
  const metrics: Metrics[] = [];
  try {
    for await (const line of createInterface({ input: createReadStream(path) })) {
      try {
        metrics.push(JSON.parse(line) as Metrics);
      } catch {
        // The line a kill tore in two; what it said is computed again.
      }
    }
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOENT') throw error;
  }
  return metrics;
}
