/** @file The frames that can still be labelled, by their index and by their name. */
import type { Frame } from '../../adapt/streams/frame.ts';

export type ShownFrame = Omit<Frame, 'pixels'>;

/** As many as `LateLabels` keeps pixels of, and the same ones. */
export class RecentFrames {
  readonly #keep: number;
  readonly #frames: ShownFrame[] = [];
  readonly #byIndex = new Map<number, ShownFrame>();
  /** The last frame of each name. */
  readonly #byName = new Map<string, ShownFrame>();

  constructor(keep: number) {
    this.#keep = keep;
  }

  add({ index, name, arrival }: ShownFrame): ShownFrame {
    const frame = { index, name, arrival };
    this.#frames.push(frame);
    this.#byIndex.set(index, frame);
    this.#byName.set(name, frame);
    const oldest = this.#frames.length > this.#keep ? this.#frames.shift() : undefined;
    if (oldest) {
      this.#byIndex.delete(oldest.index);
      if (this.#byName.get(oldest.name) === oldest) this.#byName.delete(oldest.name);
    }
    return frame;
  }

  find(which: number | string): ShownFrame | undefined {
    return typeof which === 'number' ? this.#byIndex.get(which) : this.#byName.get(which);
  }
}
