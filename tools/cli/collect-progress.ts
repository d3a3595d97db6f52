/** @file Progress of a collection on stderr: each image that is saved, and the frame that a key would label now. */
import { basename, dirname, join } from 'node:path';
import type { Ora } from 'ora';
import type { CollectEvent, CollectResult } from '../../runtime/train/collect/collector.ts';

/** Between lines about frames that do not wait, where there is no terminal. */
const PLAIN_MILLIS = 10_000;
/** Between redraws. */
const DRAW_MILLIS = 100;
/** Classes that a line names. */
const SHOWN = 12;

type Images = CollectResult['images'];

export class CollectProgress {
  readonly #spinner: Ora | null;
  /** Whether each frame waits for its label. */
  readonly #waits: boolean;
  #shownAt = Number.NEGATIVE_INFINITY;

  private constructor(spinner: Ora | null, waits: boolean) {
    this.#spinner = spinner;
    this.#waits = waits;
  }

  static async open(waits: boolean): Promise<CollectProgress> {
    if (!process.stderr.isTTY) return new CollectProgress(null, waits);
    const { default: ora } = await import('ora');
    return new CollectProgress(ora({ stream: process.stderr, discardStdin: false }), waits);
  }

  show(event: CollectEvent, images: Images): void {
    const { frame } = event;
    if (event.kind === 'frame') this.#frame(`frame ${frame.index} (${frame.name}); ${imagesText(images)}`);
    else if (event.kind === 'removed') this.line(`frame ${frame.index}: label taken back; ${imagesText(images)}`);
    else this.line(`frame ${frame.index}: ${shortPath(event.path)}; ${imagesText(images)}`);
  }

  /** A line that stays. */
  line(text: string): void {
    this.#spinner?.clear();
    console.error(text);
  }

  done(): void {
    this.#spinner?.stop();
  }

  #frame(text: string): void {
    const now = performance.now();
    if (!this.#waits && now - this.#shownAt < (this.#spinner ? DRAW_MILLIS : PLAIN_MILLIS)) return;
    this.#shownAt = now;
    if (this.#spinner) this.#spinner.start(text);
    else console.error(text);
  }
}

/** How it ended and what was left out, a line each. */
export function resultText({ ended, images, labelled, undone, labels, source }: CollectResult): string {
  const why = { source: 'the source ended', signal: 'stopped', enough: 'each class has enough' }[ended];
  const lost = labels.early + labels.forgotten;
  const unlabelled = Object.keys(images).filter((name) => images[name] === 0);
  const rows: readonly (readonly [string, boolean?])[] = [
    [`${why}: ${labelled} of ${source.seen} frames labelled, ${undone} labels taken back`],
    [`${lost} labels of frames that are not kept, ${labels.invalid} invalid`, lost + labels.invalid > 0],
    [`${source.skipped} frames unreadable`, source.skipped > 0],
    [`images: ${imagesText(images)}`],
    [`no image of ${listText(unlabelled)}`, unlabelled.length > 0],
  ];
  return rows.flatMap(([text, shown = true]) => (shown ? [`${text}\n`] : [])).join('');
}

function imagesText(images: Images): string {
  const found = Object.entries(images).filter(([, count]) => count > 0);
  return found.length === 0 ? 'no images yet' : listText(found.map(([name, count]) => `${name} ${count}`));
}

const listText = (items: readonly string[]): string =>
  `${items.slice(0, SHOWN).join(', ')}${items.length > SHOWN ? ` and ${items.length - SHOWN} more` : ''}`;

const shortPath = (path: string): string => join(basename(dirname(path)), basename(path));
