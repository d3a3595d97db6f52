/** @file What `edgeshift adapt` takes, before anything of it runs: its options, and its plan. */
import { planBackground } from '../../runtime/adapt/background.ts';
import { type AdaptOptions, type PlannedAdaptation, planAdaptation } from '../../runtime/adapt/open.ts';
import { type QueuePolicy, queuePolicies } from '../../runtime/adapt/streams/frame-queue.ts';
import type { SourceOptions } from '../../runtime/adapt/streams/open-source.ts';
import { UsageError } from '../../runtime/errors.ts';
import { adaptOptions } from './adapt-options.ts';
import { choiceFlag, countFlag, type Flags, numberFlag } from './flags.ts';

/** Frames that wait, of sources that wait themselves if asked to and of those that do not. */
const policies: Readonly<Record<SourceOptions['kind'], QueuePolicy>> = {
  folder: 'block',
  watch: 'block',
  stream: 'block',
  command: 'drop-oldest',
  http: 'drop-oldest',
};

/** The image decoder in this process; measured with small images on x64. */
const DECODER_BYTES = 24 * 2 ** 20;

/** How long a frame of a live source waits for others, where predictions and adaptation take turns. */
const TURN_MILLIS = 100;

export interface AdaptRequest {
  readonly options: AdaptOptions;
  /** Most frames that wait. */
  readonly capacity: number;
  /** Frames that are kept for their labels. */
  readonly keep: number;
}

/** @throws UsageError */
export function adaptRequest(model: string, flags: Flags): AdaptRequest {
  const batch = countFlag(flags, 'batch', 1) ?? 16;
  const capacity = countFlag(flags, 'queue', 1) ?? Math.max(64, 2 * batch);
  const keep = countFlag(flags, 'keepLabels', 0) ?? 0;
  const beside = { besideBytes: DECODER_BYTES, besideFrames: capacity + keep + batch };
  return { options: { ...adaptOptions(model, flags), ...beside }, capacity, keep };
}

/** How the stream is gone through. @throws UsageError */
export function streamSettings(flags: Flags, kind: SourceOptions['kind'], isBackground: boolean) {
  return {
    probabilities: flags.probabilities === true,
    policy: choiceFlag(flags, 'policy', queuePolicies) ?? policies[kind],
    deadlineMillis: numberFlag(flags, 'deadline') ?? defaultDeadline(kind, isBackground),
    snapshotFrames: countFlag(flags, 'snapshotFrames', 1) ?? 5000,
    snapshotSeconds: numberFlag(flags, 'snapshotSeconds') ?? 300,
  };
}

function defaultDeadline(kind: SourceOptions['kind'], isBackground: boolean): number {
  if (kind === 'folder') return Number.POSITIVE_INFINITY;
  return isBackground ? 0 : TURN_MILLIS;
}

/**
 * Live sources are predicted beside the adaptation, unless the method cannot or the flags say otherwise.
 * @param beside works beside; a UsageError of it that was not asked for is passed over
 * @param inTurn works in turn, and is told why where that was not asked for
 */
export async function sideBySide<T>(
  { background: wish }: Flags,
  kind: SourceOptions['kind'],
  method: AdaptOptions['method'],
  { beside, inTurn }: { beside(): Promise<T>; inTurn(note: string | null): Promise<T> },
): Promise<T> {
  const asked = typeof wish === 'boolean';
  if (!(asked ? wish : kind !== 'folder' && method !== 'none')) return inTurn(null);
  try {
    return await beside();
  } catch (error) {
    if (asked || !(error instanceof UsageError)) throw error;
    return inTurn(`predicting and adapting in turn: ${error.message.split('\n')[0]}`);
  }
}

/** An adapter's plan, and that of the predictor beside it. */
export interface PlannedSides {
  readonly adapter: PlannedAdaptation;
  readonly predictor: PlannedAdaptation | null;
}

/** As `edgeshift adapt` would plan. @throws as `planAdaptation` and `planBackground` */
export function planAdapt(options: AdaptOptions, flags: Flags, kind: SourceOptions['kind']): Promise<PlannedSides> {
  return sideBySide<PlannedSides>(flags, kind, options.method, {
    beside: () => planBackground(options),
    inTurn: async () => ({ adapter: await planAdaptation(options), predictor: null }),
  });
}
