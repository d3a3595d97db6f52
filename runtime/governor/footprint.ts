/** @file What plans mean for this process's own memory, and how long it takes to give it back: predicted at first, then as measured. */
import { processBaseBytes } from '../plan/accounting.ts';
import { type Plan, runBytes } from '../plan/plan.ts';

/** What an open engine takes besides its plan, until that has been measured: a thread, its heap, onnxruntime's tables. */
const ENGINE_BYTES = 24 * 2 ** 20;
/** Steps after which all memory of an engine has been touched. */
const WARM_STEPS = 3;
/** Steps whose longest counts, and how much longer the next may be. */
const REMEMBERED = 8;
const LONGER = 1.5;
/** A step, closing and opening until they have been measured. */
const STEP_MILLIS = 500;
const CLOSE_MILLIS = 200;
const OPEN_MILLIS = 1000;
/** Closing may always take so long. */
const LEAST_CLOSE_MILLIS = 50;
/** What is left of a time after one more turn of waiting. */
const FORGOTTEN = 0.75;

export class Footprint {
  readonly #baseBytes: number;
  #closedBytes: number;
  #engineBytes = ENGINE_BYTES;
  #millis: readonly number[] = [STEP_MILLIS / LONGER];
  #steps = 0;
  #closeMillis = CLOSE_MILLIS;
  #openMillis = OPEN_MILLIS;

  /** @param ownBytes what the process holds without an engine */
  constructor({ threads, products }: Plan, ownBytes: number) {
    this.#baseBytes = processBaseBytes(process.versions.node, threads, products);
    this.#closedBytes = ownBytes;
  }

  /** Own memory while a plan is carried out. */
  ownBytes(plan: Plan): number {
    return this.#closedBytes + this.#engineBytes + runBytes(plan) - this.#baseBytes;
  }

  /** The largest plan's bytes that own memory leaves room for. */
  planBytes(ownBytes: number): number {
    return ownBytes - this.#closedBytes - this.#engineBytes + this.#baseBytes;
  }

  /** From now to memory given back. */
  get reactionMillis(): number {
    return LONGER * Math.max(...this.#millis) + this.#closeMillis;
  }

  /** The same if the next step is one like most. */
  get usualMillis(): number {
    const sorted = [...this.#millis].sort((a, b) => a - b);
    return LONGER * (sorted[sorted.length >> 1] ?? 0) + this.#closeMillis;
  }

  get openMillis(): number {
    return this.#openMillis;
  }

  /** Whether what the process holds is all that it will. */
  get isWarm(): boolean {
    return this.#steps >= WARM_STEPS;
  }

  /** A step, or a forward pass, which does not touch all memory. */
  worked(plan: Plan, millis: number, what: 'step' | 'forward', ownBytes: number): void {
    this.#millis = [...this.#millis.slice(1 - REMEMBERED), millis];
    if (what === 'step') this.#steps += 1;
    if (this.isWarm) this.#engineBytes = ownBytes - this.#closedBytes - (runBytes(plan) - this.#baseBytes);
  }

  opened(millis: number): void {
    this.#openMillis = millis;
    this.#steps = 0;
  }

  closed(millis: number, ownBytes: number): void {
    this.#closeMillis = Math.max(LEAST_CLOSE_MILLIS, millis);
    this.#closedBytes = ownBytes;
    // The next plan's steps are taken to be like this one's.
  }

  /** Has waited a while: whatever made steps slow may be gone, and only another step would show it. */
  waited(): void {
    const less = (millis: number, assumed: number): number => Math.min(millis, Math.max(assumed, FORGOTTEN * millis));
    this.#millis = this.#millis.map((millis) => less(millis, STEP_MILLIS / LONGER));
    this.#closeMillis = less(this.#closeMillis, CLOSE_MILLIS);
    this.#openMillis = less(this.#openMillis, OPEN_MILLIS);
  }
}
