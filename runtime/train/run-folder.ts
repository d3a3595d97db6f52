/** @file Where a run keeps what: one folder, fixed names. */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, removeTemporaries, writeAtomically } from '../delta/atomic-file.ts';
import { DataError, UsageError } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import type { TrainConfig } from './options.ts';

export class RunFolder {
  readonly path: string;
  #created = false;

  constructor(path: string) {
    this.path = path;
  }

  get checkpoints(): string {
    return join(this.path, 'checkpoints');
  }
  get metrics(): string {
    return join(this.path, 'metrics.jsonl');
  }
  get delta(): string {
    return join(this.path, 'delta.safetensors');
  }
  get exported(): string {
    return join(this.path, 'model.onnx');
  }
  /** Decoded images and cached features; may be deleted. */
  get cache(): string {
    return join(this.path, 'cache');
  }

  /** Starts a run. @throws UsageError if the folder holds one already */
  async begin(config: TrainConfig): Promise<void> {
    if (await this.#read('config.json')) {
      throw new UsageError(
        `"${this.path}" holds a run already\nHint: continue it with --resume, or choose another folder with --run`,
        { run: this.path },
      );
    }
    try {
      this.#created = (await mkdir(this.path, { recursive: true })) !== undefined;
      await mkdir(this.cache, { recursive: true });
    } catch (cause) {
      throw diskError(this.path, cause);
    }
    await this.#write('config.json', config);
  }

  /** Takes back `begin`: a run that could not start leaves nothing behind. */
  async discard(): Promise<void> {
    if (this.#created) await rm(this.path, { recursive: true, force: true });
    for (const name of ['cache', 'config.json', 'plan.json'])
      await rm(join(this.path, name), { recursive: true, force: true });
  }

  /** Removes what a killed process left half-written. */
  async clean(): Promise<void> {
    for (const path of [this.path, this.checkpoints]) await removeTemporaries(path);
  }

  /** Config of the run that lies here. @throws UsageError if there is none */
  async config(): Promise<TrainConfig> {
    const config = await this.#read('config.json');
    if (config) return config as TrainConfig;
    throw new UsageError(`there is no run to resume in "${this.path}" (no config.json)`, { run: this.path });
  }

  async plan(): Promise<Plan | null> {
    return (await this.#read('plan.json')) as Plan | null;
  }

  async writePlan(plan: Plan): Promise<void> {
    await this.#write('plan.json', plan);
  }

  async #write(name: string, value: unknown): Promise<void> {
    const text = `${JSON.stringify(value, null, 1)}\n`;
    await writeAtomically(join(this.path, name), [new TextEncoder().encode(text)]);
  }

  async #read(name: string): Promise<unknown> {
    const path = join(this.path, name);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return null;
      throw new DataError(`cannot read "${path}": ${(error as Error).message}`, { path }, { cause: error });
    }
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new DataError(`"${path}" is not JSON`, { path }, { cause });
    }
  }
}
