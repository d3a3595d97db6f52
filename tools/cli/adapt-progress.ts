/** @file Progress of an adaptation on stderr: a line that redraws itself on a terminal, a line now and then elsewhere. */
import type { Ora } from 'ora';
import type { SessionCounts, SessionEvent, SessionResult } from '../../runtime/adapt/session.ts';
import { bytesText } from '../../runtime/plan/bytes-text.ts';

/** Between lines that are not on a terminal. */
const PLAIN_MILLIS = 10_000;
/** Between redraws. */
const DRAW_MILLIS = 200;

export class AdaptProgress {
  readonly #spinner: Ora | null;
  #shownAt = 0;

  private constructor(spinner: Ora | null) {
    this.#spinner = spinner;
  }

  static async open(): Promise<AdaptProgress> {
    if (!process.stderr.isTTY) return new AdaptProgress(null);
    const { default: ora } = await import('ora');
    return new AdaptProgress(ora({ stream: process.stderr, discardStdin: false }));
  }

  show(event: SessionEvent): void {
    if (event.kind === 'trouble') this.line(event.text);
    if (event.kind !== 'batch') return;
    const now = performance.now();
    if (now - this.#shownAt < (this.#spinner ? DRAW_MILLIS : PLAIN_MILLIS)) return;
    this.#shownAt = now;
    const text = countsText(event.counts);
    if (this.#spinner) this.#spinner.start(text);
    else console.error(text);
  }

  /** A line that stays. */
  line(text: string): void {
    this.#spinner?.clear();
    console.error(text);
  }

  done(): void {
    this.#spinner?.stop();
  }
}

function countsText({ predicted, updated, queue, source, reasons }: SessionCounts): string {
  const most = Object.entries(reasons).sort(([, a], [, b]) => b - a)[0]?.[0];
  const lost = queue.dropped + source.skipped;
  return (
    `${predicted} frames, ${updated} in calls that changed the model${most === undefined ? '' : `, mostly "${most}"`}` +
    `${lost > 0 ? `, ${queue.dropped} dropped, ${source.skipped} unreadable` : ''}, ${queue.waiting} waiting`
  );
}

/** The final counts, one a line; what did not happen is left out. */
export function resultText(result: SessionResult): string {
  const { queue, source, labels, lines, background, memory, latencyMillis, snapshots } = result;
  const reasons = Object.entries(result.reasons).sort(([, a], [, b]) => b - a);
  const rows: readonly (readonly [string, string, boolean?])[] = [
    ['frames predicted', `${result.predicted}`],
    ['model changed for', `${result.updated} frames`],
    ...reasons.map(([reason, frames]) => [`  ${reason}`, `${frames}`] as const),
    ['dropped', `${queue.dropped}`, queue.dropped > 0],
    ['adaptation skipped', `${queue.adaptationSkipped}`, queue.adaptationSkipped > 0],
    ['unreadable', listText(source.skipped, source.reasons), source.skipped > 0],
    ['bytes of no image', `${source.garbageBytes}`, source.garbageBytes > 0],
    ['source restarted', `${source.restarts} times`, source.restarts > 0],
    ['lines lost', `${lines.lost}`, lines.lost > 0],
    [
      'labels',
      `${labels.taught} learnt from, ${labels.early} early, ${labels.forgotten} forgotten, ${labels.invalid} invalid`,
      labels.used + labels.early + labels.forgotten + labels.invalid > 0,
    ],
    ['behind', behindText(background), background !== null],
    ['failures', `${result.failures}`, result.failures > 0],
    ['snapshots', `${snapshots.written}, ${snapshots.failed} failed`, snapshots.written + snapshots.failed > 0],
    [
      'latency',
      `p50 ${latencyMillis?.p50.toFixed(1)} ms, p99 ${latencyMillis?.p99.toFixed(1)} ms`,
      latencyMillis !== null,
    ],
    ['arena planned', `${memory.plannedPeakBytes} B`],
    ['arena high water', `${memory.highWaterBytes} B`],
    ['process planned', bytesText(memory.plannedTotalBytes)],
    ['process peak', bytesText(process.resourceUsage().maxRSS * 1024)],
  ];
  return rows
    .filter(([, , shown = true]) => shown)
    .map(([label, value]) => `${label.padEnd(30)}${value}\n`)
    .join('');
}

const listText = (total: number, reasons: Readonly<Record<string, number>>): string =>
  `${total} (${Object.entries(reasons)
    .map(([reason, count]) => `${reason}: ${count}`)
    .join(', ')})`;

const behindText = (background: SessionResult['background']): string =>
  background === null
    ? ''
    : `${background.seen} frames looked at, ${background.passedBy} passed by, learnt values taken ${background.taken} times` +
      (background.failures > 0 ? `, ${background.failures} calls failed` : '');
