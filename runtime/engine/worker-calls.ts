/** @file Calls to a worker that answers them one after the other: numbers, answers, and what becomes of them when its thread dies. */
import type { Worker } from 'node:worker_threads';
import { ExecutionError } from '../errors.ts';
import { reviveError, type WorkerError } from './worker-error.ts';

export interface WorkerCall<Method extends string> {
  readonly id: number;
  readonly method: Method;
  readonly args: readonly unknown[];
}

export type WorkerAnswer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: WorkerError };

/** Call number of the answer that says the worker is ready. */
export const READY = 0;

export class WorkerCalls<Method extends string> {
  readonly #worker: Worker;
  readonly #name: string;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  /** Why nothing can be called any more. */
  #failure: Error | null = null;
  #lastId = READY;

  /** @param name whose thread it is, for messages */
  constructor(worker: Worker, name: string) {
    this.#worker = worker;
    this.#name = name;
    worker.on('message', (answer: WorkerAnswer) => this.#settle(answer));
    worker.on('error', (error) => this.#fail(error));
    worker.on('exit', (code) => this.#fail(new ExecutionError(`the ${name}'s thread ended with code ${code}`)));
  }

  /** What the worker says when it is ready; its thread is ended if it says an error. */
  async ready<T>(): Promise<T> {
    try {
      return await this.#answerTo<T>(READY, () => undefined);
    } catch (error) {
      await this.#worker.terminate();
      throw error;
    }
  }

  /** @throws ExecutionError if the thread has ended or ends before it answers */
  call<T>(method: Method, args: readonly unknown[] = []): Promise<T> {
    const id = ++this.#lastId;
    return this.#answerTo<T>(id, () => this.#worker.postMessage({ id, method, args } satisfies WorkerCall<Method>));
  }

  /** Calls `method`, if anybody is there to answer it, and ends the thread; calls that still wait fail. */
  async close(method: Method): Promise<void> {
    await this.call(method).catch(() => undefined);
    this.#fail(new ExecutionError(`the ${this.#name} was closed`));
    await this.#worker.terminate();
  }

  #answerTo<T>(id: number, ask: () => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failure) throw this.#failure;
      this.#waiting.set(id, { resolve, reject });
      ask();
    });
  }

  #settle(answer: WorkerAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('error' in answer) waiting?.reject(reviveError(answer.error));
    else waiting?.resolve(answer.result as never);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
