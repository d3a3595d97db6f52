/** @file The run's measurements: metrics.jsonl, one JSON object a line, cut back to the checkpoint when a run resumes. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { createInterface } from 'node:readline';

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

export type Metrics = StepMetrics | EpochMetrics;

export class MetricsFile implements AsyncDisposable {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Opens the file and drops what was measured after step `upTo` (a torn last line too); 0 starts anew. */
  static async open(path: string, upTo: number): Promise<MetricsFile> {
    const kept = upTo > 0 ? (await readMetrics(path)).filter(({ step }) => step <= upTo) : [];
    const temporary = `${path}.tmp`;
    const file = await open(temporary, 'w');
    await file.writeFile(kept.map((metrics) => `${JSON.stringify(metrics)}\n`).join(''));
    await rename(temporary, path);
    return new MetricsFile(file);
  }

  async append(metrics: Metrics): Promise<void> {
    await this.#file.appendFile(`${JSON.stringify(metrics)}\n`);
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
