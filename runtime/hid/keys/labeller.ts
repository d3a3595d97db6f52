/** @file Presses of keys turned into labels of the frames that were shown. Knows no device and no clock. */
import type { KeyMapping } from './key-mapping.ts';

/** Label of a frame, as `LateLabels` of the streams takes it. */
export interface FrameLabel {
  readonly frame: number;
  readonly class: number;
}

/** `idle`: the key does nothing, nothing was shown yet, or there is nothing to take back. */
export type PressVerdict = 'labelled' | 'undone' | 'skipped' | 'idle';

export interface LabellerCounts {
  /** Labels that were given out. */
  readonly given: number;
  /** Not given out yet, and so can be taken back. */
  readonly held: number;
  /** Taken back, those that had been given out among them. */
  readonly undone: number;
  /** Replaced by a later label of the same frame. */
  readonly replaced: number;
  readonly idle: number;
}

/** How long a label can be taken back. */
export const HOLD_MILLIS = 2000;

interface Press extends FrameLabel {
  readonly atMillis: number;
}

/**
 * A label that was given out may have been learnt from at once; so each is held for some time, and `undo` takes back
 * the last one that is. Of several labels of a frame the last counts, and the one before comes back when it is undone.
 */
export class Labeller {
  readonly #mapping: KeyMapping;
  readonly #holdMillis: number;
  readonly #takeBack: () => boolean;
  /** In the order of time. */
  #held: Press[] = [];
  #frame: number | null = null;
  #given = 0;
  #undone = 0;
  #replaced = 0;
  #idle = 0;

  /** @param takeBack takes back the last label that was given out; false if that cannot be */
  constructor(mapping: KeyMapping, holdMillis = HOLD_MILLIS, takeBack: () => boolean = () => false) {
    this.#mapping = mapping;
    this.#holdMillis = holdMillis;
    this.#takeBack = takeBack;
  }

  counts(): LabellerCounts {
    return {
      ...{ given: this.#given, held: this.#held.length, undone: this.#undone },
      ...{ replaced: this.#replaced, idle: this.#idle },
    };
  }

  /** Presses mean this frame from now on. */
  show(frame: number): void {
    this.#frame = frame;
  }

  /** @param atMillis Not before the call before. */
  press(key: string, atMillis: number): PressVerdict {
    const action = this.#mapping.get(key);
    if (action?.kind === 'label' && this.#frame !== null) {
      this.#held.push({ frame: this.#frame, class: action.class, atMillis });
      return 'labelled';
    }
    if (action?.kind === 'undo' && (this.#undo(atMillis) || this.#takeBack())) {
      this.#undone += 1;
      return 'undone';
    }
    if (action?.kind === 'skip') return 'skipped';
    this.#idle += 1;
    return 'idle';
  }

  /** When `release` has something to give next; null if nothing is held. */
  dueMillis(): number | null {
    const dues = Array.from(this.#lastPresses().values(), ({ atMillis }) => atMillis + this.#holdMillis);
    return dues.length === 0 ? null : Math.min(...dues);
  }

  /** Labels that were held long enough, in the order in which they were given; each comes once. */
  release(nowMillis: number): FrameLabel[] {
    const last = this.#lastPresses();
    const due = [...last.values()].filter(({ atMillis }) => nowMillis - atMillis >= this.#holdMillis);
    const frames = new Set(due.map(({ frame }) => frame));
    const kept = this.#held.filter(({ frame }) => !frames.has(frame));
    this.#replaced += this.#held.length - kept.length - due.length;
    this.#given += due.length;
    this.#held = kept;
    return due.map(({ frame, class: label }) => ({ frame, class: label }));
  }

  /** All that is held, because no undo can come any more. */
  flush(): FrameLabel[] {
    return this.release(Number.POSITIVE_INFINITY);
  }

  /** False if nothing is held. */
  #undo(atMillis: number): boolean {
    const undone = this.#held.pop();
    if (!undone) return false;
    // What it had replaced can be taken back as long as any other label.
    const before = this.#held.findLastIndex(({ frame }) => frame === undone.frame);
    if (before >= 0) this.#held[before] = { ...(this.#held[before] as Press), atMillis };
    return true;
  }

  /** The last press of each frame, in the order of time. */
  #lastPresses(): Map<number, Press> {
    const last = new Map<number, Press>();
    for (const press of this.#held) {
      last.delete(press.frame);
      last.set(press.frame, press);
    }
    return last;
  }
}
