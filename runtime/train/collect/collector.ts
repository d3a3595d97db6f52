/** @file Labels of a stream's frames, made into an image folder: each labelled frame is on the disk before the next one is. */
import { type Frame, millisSince } from '../../adapt/streams/frame.ts';
import type { FrameReplies, FrameSource, SourceCounts } from '../../adapt/streams/frame-source.ts';
import { type LabelCounts, type LabelVerdict, LateLabels } from '../../adapt/streams/late-labels.ts';
import type { ClassFolders, SavedImage } from './class-folders.ts';
import { RecentFrames, type ShownFrame } from './recent-frames.ts';

export interface CollectorOptions {
  readonly folders: ClassFolders;
  /** Side of the frames in pixels. */
  readonly imageSize: number;
  /** Frames that are kept for their labels, the last ones, from 1. */
  readonly keep: number;
  /** Ends when each class has so many images, those of earlier sessions among them; null: never. */
  readonly perClass: number | null;
}

export interface CollectRun {
  /** Ends the collection. */
  readonly signal: AbortSignal;
  readonly onEvent?: (event: CollectEvent) => void;
  /** Awaited after the last frame, before the last labels are written. */
  readonly onDrained?: () => Promise<void>;
}

export type CollectEvent =
  /** Labels without a frame mean this one from now on. */
  | { readonly kind: 'frame'; readonly frame: ShownFrame }
  | { readonly kind: 'saved'; readonly frame: ShownFrame; readonly label: number; readonly path: string }
  | { readonly kind: 'removed'; readonly frame: ShownFrame };

export interface CollectResult {
  readonly ended: 'source' | 'signal' | 'enough';
  /** Images of each class, those of earlier sessions among them. */
  readonly images: Readonly<Record<string, number>>;
  /** Frames of this session that have a label. */
  readonly labelled: number;
  readonly undone: number;
  readonly labels: LabelCounts;
  readonly source: SourceCounts;
}

interface Given {
  readonly frame: ShownFrame;
  readonly label: number;
}

/**
 * Saves each frame that is labelled as an image of its class, at once. Another label of a frame moves its image; taking one
 * back removes it, or gives the frame the label that it had before. Frames of a source that is not live wait for theirs.
 */
export class Collector {
  readonly #options: CollectorOptions;
  readonly #labels: LateLabels;
  readonly #recent: RecentFrames;
  /** Every label that was not taken back, in the order of time. */
  readonly #given: Given[] = [];
  /** What the disk has of this session's frames. */
  readonly #images = new Map<number, SavedImage>();
  /** Frames that wait for a label or for being skipped, the one that is shown last. */
  readonly #open: ShownFrame[] = [];
  readonly #end = new AbortController();
  #onEvent: (event: CollectEvent) => void = () => undefined;
  #wake: () => void = () => undefined;
  /** What is left to write, one after the other. */
  #disk: Promise<void> = Promise.resolve();
  #failure: unknown = null;
  /** Whether frames wait for their labels. */
  #waits = false;
  #undone = 0;

  constructor(options: CollectorOptions) {
    const { folders, imageSize, keep } = options;
    const { classes } = folders;
    this.#options = options;
    this.#labels = new LateLabels({ classCount: classes.length, classes, imageSize, keep });
    this.#recent = new RecentFrames(keep);
  }

  /**
   * Labels a frame: `{"frame": 12, "class": "cat"}` or `{"name": "x.jpg", "class": 3}`.
   * @throws DataError if it is no such object, or the class is none of the collection's
   */
  add(message: unknown): LabelVerdict {
    return this.#joined(message, this.#labels.add(message));
  }

  /** As `add`, of a line of text; one that is no such object is counted. */
  addText(line: string): LabelVerdict | 'invalid' {
    const verdict = this.#labels.addText(line);
    return verdict === 'invalid' ? verdict : this.#joined(JSON.parse(line), verdict);
  }

  /** Takes back the last label that was not; false if there is none. */
  takeBack(): boolean {
    const last = this.#given.pop();
    if (!last) return false;
    const { frame } = last;
    const before = this.#labelOf(frame);
    this.#undone += 1;
    this.#write(() => this.#put(frame, before, null));
    if (before === null && this.#waits && this.#recent.find(frame.index)) this.#open.push(frame);
    this.#wake();
    return true;
  }

  /** Goes on to the next frame of a source that waits; false if none does. */
  skip(): boolean {
    const skipped = this.#open.pop();
    this.#wake();
    return skipped !== undefined;
  }

  /** Resolves when everything labelled so far is written. */
  async settled(): Promise<void> {
    await this.#disk;
  }

  counts(): Pick<CollectResult, 'images' | 'labelled' | 'undone' | 'labels'> {
    const { folders } = this.#options;
    const counts = folders.counts();
    return {
      images: Object.fromEntries(folders.classes.map((name, label) => [name, counts[label] ?? 0])),
      labelled: this.#images.size,
      undone: this.#undone,
      labels: this.#labels.counts(),
    };
  }

  /**
   * Shows the frames of a source, which is disposed of, until it ends, the signal comes or there is enough.
   * @throws DataError if the disk refuses, or the source fails; what was labelled before is saved
   */
  async run(source: FrameSource, { signal, onEvent, onDrained }: CollectRun): Promise<CollectResult> {
    if (onEvent) this.#onEvent = onEvent;
    const ended = AbortSignal.any([signal, this.#end.signal]);
    const stop = (): void => {
      this.#wake();
      void source[Symbol.asyncDispose]();
    };
    ended.addEventListener('abort', stop, { once: true });
    this.#waits = !source.live;
    this.#endIfEnough();
    if (ended.aborted) stop();
    try {
      for await (const frame of source) {
        // Labels that come as fast as frames must not pile up.
        await this.#disk;
        if (ended.aborted) break;
        this.#show(frame, source.replies);
        while (this.#open.length > 0 && !ended.aborted) await this.#decision();
      }
    } finally {
      ended.removeEventListener('abort', stop);
      await source[Symbol.asyncDispose]();
      await onDrained?.();
      await this.#disk;
    }
    if (this.#failure !== null) throw this.#failure;
    const how = this.#isEnough() ? 'enough' : signal.aborted ? 'signal' : 'source';
    return { ended: how, ...this.counts(), source: source.counts() };
  }

  #show(frame: Frame, replies: FrameReplies | null): void {
    this.#labels.remember(frame);
    const shown = this.#recent.add(frame);
    // A frame whose label was taken back meanwhile comes first.
    if (this.#waits) this.#open.unshift(shown);
    else this.#onEvent({ kind: 'frame', frame: shown });
    replies?.answer({
      ...{ frame: shown.index, name: shown.name, time: new Date(shown.arrival.epochMillis).toISOString() },
      ...{ class: null, entropy: null, updated: false, reason: 'kept for its label' },
      latencyMillis: millisSince(shown.arrival),
    });
  }

  /** Shows the frame that waits, and resolves when something has changed. */
  async #decision(): Promise<void> {
    const frame = this.#open.at(-1) as ShownFrame;
    const changed = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#onEvent({ kind: 'frame', frame });
    await changed;
  }

  #joined(message: unknown, verdict: LabelVerdict): LabelVerdict {
    const [taken] = this.#labels.take();
    const { frame: index, name } = message as { readonly frame?: number; readonly name?: string };
    const frame = this.#recent.find(index ?? name ?? '');
    if (verdict !== 'joined' || !taken || !frame) return verdict;
    const { label, image } = taken;
    if (this.#labelOf(frame) !== label) {
      this.#given.push({ frame, label });
      this.#write(() => this.#put(frame, label, image));
    }
    const at = this.#open.findIndex((open) => open.index === frame.index);
    if (at >= 0) this.#open.splice(at, 1);
    this.#wake();
    return verdict;
  }

  /** Null if it has none. */
  #labelOf(frame: ShownFrame): number | null {
    return this.#given.findLast((given) => given.frame.index === frame.index)?.label ?? null;
  }

  /** After the first failure nothing more is written, and the collection ends. */
  #write(work: () => Promise<void>): void {
    this.#disk = this.#disk.then(async () => {
      if (this.#failure !== null) return;
      try {
        await work();
      } catch (error) {
        this.#failure = error;
        this.#end.abort();
      }
    });
  }

  /** Makes the disk say of a frame what its label does. @param image its pixels, needed for its first label only */
  async #put(frame: ShownFrame, label: number | null, image: Uint8Array | null): Promise<void> {
    const { folders, imageSize } = this.#options;
    const saved = this.#images.get(frame.index);
    if (label === null) {
      if (saved) await folders.remove(saved);
      this.#images.delete(frame.index);
      this.#onEvent({ kind: 'removed', frame });
      return;
    }
    const stem = stemOf(frame);
    const written = saved
      ? await folders.move(stem, saved, label)
      : await folders.write(stem, label, image as Uint8Array, imageSize);
    this.#images.set(frame.index, written);
    this.#onEvent({ kind: 'saved', frame, label, path: written.path });
    this.#endIfEnough();
  }

  #endIfEnough(): void {
    if (this.#isEnough()) this.#end.abort();
  }

  #isEnough(): boolean {
    const { folders, perClass } = this.#options;
    return perClass !== null && folders.counts().every((count) => count >= perClass);
  }
}

/** Sorts by time; the process tells sessions apart. */
function stemOf({ index, arrival }: ShownFrame): string {
  const time = new Date(arrival.epochMillis).toISOString().replace(/[-:]/g, '');
  return `${time}-${process.pid}-${String(index).padStart(6, '0')}`;
}
