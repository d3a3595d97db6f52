/** @file Labels that arrive after their frames, joined with the frames that are kept for them. */

import { DataError } from '../../errors.ts';
import type { LateLabel } from '../adapter.ts';
import type { Frame } from './frame.ts';

export interface LateLabelsOptions {
  /** Number of classes of the model. */
  readonly classCount: number;
  /** Name of each class, null if they are not known. */
  readonly classes: readonly string[] | null;
  /** Side of the frames in pixels. */
  readonly imageSize: number;
  /** Frames that are kept, the last ones. */
  readonly keep: number;
}

/** `early`: the frame has not been predicted yet; `forgotten`: it is not, or no longer, among those that are kept. */
export type LabelVerdict = 'joined' | 'early' | 'forgotten';

export interface LabelCounts {
  /** Labels that were given out with their frames. */
  readonly used: number;
  /** Joined and not given out yet. */
  readonly waiting: number;
  readonly early: number;
  /** Among them those whose frame was overwritten before they were given out. */
  readonly forgotten: number;
  readonly invalid: number;
}

interface Slot {
  readonly index: number;
  readonly name: string;
  label: number | null;
}

/** Memory of the kept frames in bytes: keep x side x side x 3. */
export function lateLabelBytes({ keep, imageSize }: Pick<LateLabelsOptions, 'keep' | 'imageSize'>): number {
  return keep * imageSize * imageSize * 3;
}

export class LateLabels {
  readonly #options: LateLabelsOptions;
  readonly #frameBytes: number;
  /** Pixels of the kept frames, in a ring. */
  readonly #pixels: Uint8Array;
  readonly #slots: (Slot | undefined)[];
  readonly #byIndex = new Map<number, number>();
  /** Slot of the last frame of each name. */
  readonly #byName = new Map<string, number>();
  #next = 0;
  #lastIndex = -1;
  #waiting = 0;
  #used = 0;
  #early = 0;
  #forgotten = 0;
  #invalid = 0;

  constructor(options: LateLabelsOptions) {
    this.#options = options;
    this.#frameBytes = lateLabelBytes({ ...options, keep: 1 });
    this.#pixels = new Uint8Array(lateLabelBytes(options));
    this.#slots = new Array(options.keep);
  }

  counts(): LabelCounts {
    return {
      used: this.#used,
      waiting: this.#waiting,
      early: this.#early,
      forgotten: this.#forgotten,
      invalid: this.#invalid,
    };
  }

  /** Keeps a frame that was predicted, in place of the oldest one. */
  remember({ index, name, pixels }: Frame): void {
    this.#lastIndex = Math.max(this.#lastIndex, index);
    if (this.#options.keep === 0) return;
    const slot = this.#next;
    this.#forget(slot);
    this.#pixels.set(pixels, slot * this.#frameBytes);
    this.#slots[slot] = { index, name, label: null };
    this.#byIndex.set(index, slot);
    this.#byName.set(name, slot);
    this.#next = (slot + 1) % this.#options.keep;
  }

  /**
   * Joins `{"frame": 12, "class": "cat"}` or `{"name": "x.jpg", "class": 3}` with its frame; a later label of a frame that
   * was not given out yet replaces the earlier one.
   * @throws DataError if it is no such object, or the class is not one of the model's
   */
  add(message: unknown): LabelVerdict {
    const { frame, name, label } = this.#parse(message);
    const at = frame !== null ? this.#byIndex.get(frame) : this.#byName.get(name as string);
    const slot = at === undefined ? undefined : this.#slots[at];
    if (slot) {
      if (slot.label === null) this.#waiting += 1;
      slot.label = label;
      return 'joined';
    }
    if (frame !== null && frame > this.#lastIndex) {
      this.#early += 1;
      return 'early';
    }
    this.#forgotten += 1;
    return 'forgotten';
  }

  /** Joined labels with copies of their frames, in the order of the frames; each is given once. */
  take(): LateLabel[] {
    if (this.#waiting === 0) return [];
    const taken: (LateLabel & { readonly index: number })[] = [];
    this.#slots.forEach((slot, at) => {
      if (!slot || slot.label === null) return;
      const image = this.#pixels.slice(at * this.#frameBytes, (at + 1) * this.#frameBytes);
      taken.push({ index: slot.index, image, label: slot.label });
      slot.label = null;
    });
    this.#waiting = 0;
    this.#used += taken.length;
    return taken.sort((a, b) => a.index - b.index).map(({ image, label }) => ({ image, label }));
  }

  #forget(at: number): void {
    const slot = this.#slots[at];
    if (!slot) return;
    this.#byIndex.delete(slot.index);
    if (this.#byName.get(slot.name) === at) this.#byName.delete(slot.name);
    if (slot.label === null) return;
    this.#waiting -= 1;
    this.#forgotten += 1;
  }

  #parse(message: unknown): { readonly frame: number | null; readonly name: string | null; readonly label: number } {
    const { frame, name, class: given } = (message ?? {}) as Record<string, unknown>;
    const hasFrame = Number.isSafeInteger(frame) && (frame as number) >= 0;
    const hasName = typeof name === 'string';
    if (hasFrame === hasName || (!hasFrame && frame !== undefined)) {
      throw this.#refuse('expected either "frame", a number from 0, or "name", a text', message);
    }
    const label = this.#labelOf(given);
    if (label === null) throw this.#refuse(`expected "class" to be ${this.#classText()}`, message);
    return { frame: hasFrame ? (frame as number) : null, name: hasName ? name : null, label };
  }

  #labelOf(given: unknown): number | null {
    if (typeof given === 'string') {
      const label = this.#options.classes?.indexOf(given) ?? -1;
      return label >= 0 ? label : null;
    }
    const { classCount } = this.#options;
    return Number.isInteger(given) && (given as number) >= 0 && (given as number) < classCount
      ? (given as number)
      : null;
  }

  #classText(): string {
    const { classes, classCount } = this.#options;
    return `a number from 0 to ${classCount - 1}${classes ? ` or a name, such as "${classes[0]}"` : ''}`;
  }

  #refuse(expected: string, message: unknown): DataError {
    this.#invalid += 1;
    const found = JSON.stringify(message) ?? 'nothing';
    return new DataError(`label: ${expected}, but got ${found.slice(0, 200)}`, { expected });
  }

  /** Counts a line that is not even JSON. */
  addText(line: string): LabelVerdict | 'invalid' {
    try {
      return this.add(JSON.parse(line));
    } catch (error) {
      if (error instanceof SyntaxError) this.#invalid += 1;
      else if (!(error instanceof DataError)) throw error;
      return 'invalid';
    }
  }
}
