/** @file Labels that come while a stream runs: lines of a file that is appended to, and keys. */
import { followLines } from '../../runtime/adapt/streams/follow-lines.ts';
import type { LateLabels, LateLabelsOptions } from '../../runtime/adapt/streams/late-labels.ts';
import { UsageError } from '../../runtime/errors.ts';
import type { LabelKeys } from '../../runtime/hid/keys/label-keys.ts';
import type { PressVerdict } from '../../runtime/hid/keys/labeller.ts';
import type { HidLibrary } from '../../runtime/hid/node-hid.ts';
import type { OpenKeysOptions } from '../../runtime/hid/open.ts';
import { type Flags, textFlag } from './flags.ts';

export async function followLabels(path: string | undefined, labels: LateLabels, signal: AbortSignal): Promise<void> {
  if (path === undefined) return;
  for await (const line of followLines(path, { signal })) labels.addText(line);
}

/**
 * The device of `--label-keys`, whose labels join the others; null if none is asked for.
 * @param say told of each key that was pressed
 * @param more what else the keys can do
 * @throws UsageError if the options do not go together or the mapping has faults
 * @throws DataError if the device is not there or cannot be opened
 */
export async function openKeys(
  flags: Flags,
  { classCount, classes, keep }: Pick<LateLabelsOptions, 'classCount' | 'classes' | 'keep'>,
  labels: Pick<LateLabels, 'add'>,
  say: (text: string, verdict: PressVerdict) => void,
  library?: HidLibrary,
  more: Pick<OpenKeysOptions, 'skip' | 'holdMillis' | 'takeBack'> = {},
): Promise<LabelKeys | null> {
  const [mapping, device] = [textFlag(flags, 'labelKeys'), textFlag(flags, 'labelDevice')];
  if (mapping === undefined) {
    if (device !== undefined) throw new UsageError('--label-device needs --label-keys <mapping>');
    return null;
  }
  if (keep === 0) throw new UsageError('--label-keys needs frames that are kept: --keep-labels must be more than 0');
  const { openLabelKeys } = await import('../../runtime/hid/open.ts');
  const options = {
    ...{ ...more, mapping, classCount, classes },
    onLabel: (label: object) => void labels.add(label),
    onPress: (key: string, verdict: PressVerdict) => say(`key ${key}: ${verdict}`, verdict),
  };
  return openLabelKeys({ ...options, ...(device !== undefined && { device }) }, library);
}
