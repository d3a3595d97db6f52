/** @file Progress of a run on stderr: a line that redraws itself on a terminal, plain lines elsewhere. */
import type { Ora } from 'ora';
import { bytesText } from '../../runtime/plan/bytes-text.ts';
import { describe } from '../../runtime/plan/describe.ts';
import type { RunEvent } from '../../runtime/train/train.ts';
import { governorLine } from './governor-text.ts';

/** Steps between plain lines. */
const PLAIN_EVERY = 20;

export class TrainProgress {
  readonly #spinner: Ora | null;

  private constructor(spinner: Ora | null) {
    this.#spinner = spinner;
  }

  static async open(): Promise<TrainProgress> {
    // Loaded on a terminal only: it would be 10 MB of the process for nothing.
    if (!process.stderr.isTTY) return new TrainProgress(null);
    const { default: ora } = await import('ora');
    // The terminal's keys stay with the shell: Ctrl-C must reach us as a signal.
    return new TrainProgress(ora({ stream: process.stderr, discardStdin: false }));
  }

  show(event: RunEvent): void {
    switch (event.kind) {
      case 'images':
        this.#status(
          `decoding images ${bar(event.done, event.total)} ${event.done}/${event.total}`,
          event.done === event.total,
        );
        return;
      case 'skipped': {
        const shown = event.files.slice(0, 10).map(({ path, reason }) => `  ${path}: ${reason}`);
        const more = event.files.length > 10 ? [`  and ${event.files.length - 10} more`] : [];
        this.line([`skipped ${event.files.length} files that cannot be used:`, ...shown, ...more].join('\n'));
        return;
      }
      case 'plan': {
        const { plan } = event;
        this.line(
          `plan: ${describe(plan)}; stored for backward ${bytesText(plan.storedForBackwardBytes)}, ` +
            `arena ${bytesText(plan.arenaBytes)}, process ${bytesText(plan.totalBytes)} of ${bytesText(plan.budgetBytes)}`,
        );
        return;
      }
      case 'resume':
        this.line(`resuming after step ${event.step}`);
        return;
      case 'accuracy':
        this.line(`accuracy ${event.when}: ${percent(event.accuracy)}`);
        return;
      case 'step': {
        const { step, steps, epoch, loss, millis } = event;
        const text = `epoch ${epoch + 1} ${bar(step, steps)} step ${step}/${steps}, loss ${loss.toFixed(4)}, ${millis.toFixed(0)} ms`;
        this.#status(text, step % PLAIN_EVERY === 0 || step === steps);
        return;
      }
      case 'epoch': {
        const validation = event.validationAccuracy === null ? '' : `, validation ${percent(event.validationAccuracy)}`;
        this.line(`epoch ${event.epoch + 1}: training ${percent(event.trainAccuracy)}${validation}`);
        return;
      }
      case 'governor':
        this.line(governorLine(event));
        return;
      case 'checkpoint':
      case 'statistics':
        return;
    }
  }

  /** A line that stays. */
  line(text: string): void {
    if (!this.#spinner) {
      console.error(text);
      return;
    }
    const { text: status, isSpinning } = this.#spinner;
    this.#spinner.clear();
    process.stderr.write(`${text}\n`);
    if (isSpinning) this.#spinner.start(status);
  }

  done(): void {
    this.#spinner?.stop();
  }

  #status(text: string, plain: boolean): void {
    if (this.#spinner) this.#spinner.start(text);
    else if (plain) console.error(text);
  }
}

const BAR_WIDTH = 24;

function bar(done: number, total: number): string {
  const filled = Math.round((BAR_WIDTH * done) / Math.max(1, total));
  return `[${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}]`;
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
