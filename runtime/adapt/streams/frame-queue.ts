/** @file Frames that wait to be handled, and what gives when they come faster than that. */

import type { Frame } from './frame.ts';

/**
 * What gives when frames come faster than they are handled:
 * - `drop-oldest`: a full queue drops the frame that has waited longest.
 * - `skip-adaptation`: while more than one batch waits, frames are predicted and not adapted to; a full queue blocks.
 * - `block`: a full queue makes the source wait.
 */
export type QueuePolicy = 'drop-oldest' | 'skip-adaptation' | 'block';

export const queuePolicies: readonly QueuePolicy[] = ['drop-oldest', 'skip-adaptation', 'block'];

export interface FrameQueueOptions {
  readonly policy: QueuePolicy;
  /** Most frames that wait. */
  readonly capacity: number;
  /** Frames of a full batch. */
  readonly batch: number;
  /** Told of each dropped frame. */
  readonly onDropped?: (frame: Frame) => void;
}

export interface FrameBatch {
  /** 1 to as many as were asked for, in the order of arrival. */
  readonly frames: readonly Frame[];
  /** False if the policy leaves adaptation out. */
  readonly adapt: boolean;
}

/** arrived = handled + dropped + waiting, at any time. */
export interface QueueCounts {
  readonly arrived: number;
  /** Taken out, to be predicted. */
  readonly handled: number;
  readonly dropped: number;
  /** Handled frames that the policy kept from adaptation. */
  readonly adaptationSkipped: number;
  readonly waiting: number;
}

interface Waiting {
  readonly frame: Frame;
  /** By the monotonic clock, which nobody sets. */
  readonly sinceMillis: number;
}

/** For one producer, or several, and one consumer. */
export class FrameQueue {
  readonly #options: FrameQueueOptions;
  readonly #waiting: Waiting[] = [];
  /** Producers that wait for room, in their order. */
  readonly #blocked: (() => void)[] = [];
  #arrived = 0;
  #handled = 0;
  #dropped = 0;
  #adaptationSkipped = 0;
  #ended = false;
  #failure: unknown = null;
  #wake: (() => void) | null = null;

  constructor(options: FrameQueueOptions) {
    this.#options = options;
  }

  counts(): QueueCounts {
    return {
      arrived: this.#arrived,
      handled: this.#handled,
      dropped: this.#dropped,
      adaptationSkipped: this.#adaptationSkipped,
      waiting: this.#waiting.length,
    };
  }

  /** Resolves when the frame is in the queue; false if it was dropped because the queue has ended. */
  async push(frame: Frame): Promise<boolean> {
    const { policy, capacity } = this.#options;
    while (policy !== 'drop-oldest' && this.#waiting.length >= capacity && !this.#ended) {
      await new Promise<void>((resolve) => this.#blocked.push(resolve));
    }
    this.#arrived += 1;
    if (this.#ended) {
      this.#drop(frame);
      return false;
    }
    this.#waiting.push({ frame, sinceMillis: performance.now() });
    if (this.#waiting.length > capacity) this.#drop((this.#waiting.shift() as Waiting).frame);
    this.#wake?.();
    return true;
  }

  /** No more frames come; those that wait are handled still. @param failure Why, thrown by `take` after the last of them. */
  end(failure: unknown = null): void {
    this.#ended = true;
    this.#failure ??= failure;
    this.#wake?.();
    for (const unblock of this.#blocked.splice(0)) unblock();
  }

  /** Ends, and drops what waits. */
  close(): void {
    this.end();
    for (const { frame } of this.#waiting.splice(0)) this.#drop(frame);
  }

  /**
   * Takes the frames that have waited longest; null after the last one.
   *
   * @param most A full batch; the queue's capacity if that is less.
   * @param deadlineMillis How long the first frame may wait in the queue for a full batch.
   * @throws what the queue was ended with
   */
  async take(most: number, deadlineMillis: number): Promise<FrameBatch | null> {
    const full = Math.min(most, this.#options.capacity);
    while (this.#waiting.length < full && !this.#ended) {
      const first = this.#waiting[0];
      const left = first ? first.sinceMillis + deadlineMillis - performance.now() : Number.POSITIVE_INFINITY;
      if (left <= 0) break;
      await this.#change(left);
    }
    if (this.#waiting.length === 0) {
      if (this.#failure !== null) throw this.#failure;
      return null;
    }
    const adapt = this.#options.policy !== 'skip-adaptation' || this.#waiting.length <= this.#options.batch;
    const frames = this.#waiting.splice(0, full).map(({ frame }) => frame);
    this.#handled += frames.length;
    if (!adapt) this.#adaptationSkipped += frames.length;
    for (const unblock of this.#blocked.splice(0, frames.length)) unblock();
    return { frames, adapt };
  }

  #drop(frame: Frame): void {
    this.#dropped += 1;
    this.#options.onDropped?.(frame);
  }

  /** Until a frame comes or the queue ends, at most so long. */
  async #change(millis: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (Number.isFinite(millis)) timer = setTimeout(resolve, Math.ceil(millis));
    });
    this.#wake = null;
    clearTimeout(timer);
  }
}

/** Moves a source's frames into the queue until one of them ends; an error of the source ends the queue with it. */
export async function fillQueue(queue: FrameQueue, source: AsyncIterable<Frame>): Promise<void> {
  try {
    for await (const frame of source) if (!(await queue.push(frame))) break;
    queue.end();
  } catch (error) {
    queue.end(error);
  }
}
