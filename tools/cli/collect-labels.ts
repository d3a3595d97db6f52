/** @file Labels of a collection: keys, and lines of a file that is appended to. */
import { setTimeout as delay } from 'node:timers/promises';
import { followLines } from '../../runtime/adapt/streams/follow-lines.ts';
import type { LabelKeys } from '../../runtime/hid/keys/label-keys.ts';
import type { HidLibrary } from '../../runtime/hid/node-hid.ts';
import type { Collector } from '../../runtime/train/collect/collector.ts';
import { openKeys } from './adapt-labels.ts';
import type { Flags } from './flags.ts';

/** How often the file is looked at. */
const POLL_MILLIS = 100;

/**
 * The device of `--label-keys`; null if none is asked for. Labels are written at once, so undo takes them back from the disk,
 * however long ago they were given.
 * @param say told of presses that did nothing
 * @throws UsageError, DataError as `openKeys`
 */
export function collectKeys(
  flags: Flags,
  { classes, keep }: { readonly classes: readonly string[]; readonly keep: number },
  collector: Collector,
  say: (text: string) => void,
  library?: HidLibrary,
): Promise<LabelKeys | null> {
  return openKeys(
    flags,
    { classCount: classes.length, classes, keep },
    collector,
    (text, verdict) => {
      if (verdict === 'idle' || (verdict === 'skipped' && !collector.skip())) say(text);
    },
    library,
    { skip: true, holdMillis: 0, takeBack: () => collector.takeBack() },
  );
}

/** The lines of `--labels`; closing it takes those that are there by then. */
export function collectLines(path: string | undefined, collector: Collector): AsyncDisposable {
  const closing = new AbortController();
  const { signal } = closing;
  const follow = async (file: string): Promise<void> => {
    for await (const line of followLines(file, { signal, pollMillis: POLL_MILLIS })) {
      collector.addText(line);
      await collector.settled();
    }
  };
  const followed = path === undefined ? null : follow(path);
  return {
    async [Symbol.asyncDispose]() {
      if (!followed || signal.aborted) return;
      await delay(2 * POLL_MILLIS);
      closing.abort();
      await followed;
    },
  };
}
