/** @file What a live page is told: a tick twice a second at most, and the snapshot that it begins with. Plain data, JSON both ways. */

export type RunKind = 'train' | 'adapt';

/** What runs; does not change. */
export interface Run {
  readonly kind: RunKind;
  /** As after `edgeshift`. */
  readonly command: readonly string[];
  /** Milliseconds since the epoch. */
  readonly startedMillis: number;
}

/** What was measured in the time of one tick, or of several that were merged; what was not is left out. */
export interface Point {
  /** Milliseconds since the run began, at the tick's end. */
  readonly at: number;
  /** Resident memory of the process and those it started. */
  readonly rssBytes?: number;
  /** Of the control group whose limit holds the run. */
  readonly groupBytes?: number;
  /** JavaScript heap of the main thread. */
  readonly heapBytes?: number;
  /** Mean over the steps. */
  readonly loss?: number;
  /** Mean over the predicted frames, in nats. */
  readonly entropy?: number;
  /** Shares, 0 to 1. */
  readonly trainAccuracy?: number;
  readonly validationAccuracy?: number;
  /** Of the last 512 steps, or of the latencies of the last 512 predictions. */
  readonly p50Millis?: number;
  readonly p99Millis?: number;
  /** Frames predicted and frames dropped, a second. */
  readonly rate?: number;
  readonly lostRate?: number;
}

export interface Planned {
  /** The options that make the plan. */
  readonly text: string;
  readonly totalBytes: number;
  readonly arenaBytes: number;
}

/** Durations of all steps, or latencies of all predictions, so far. */
export interface Durations {
  readonly count: number;
  readonly sumMillis: number;
  readonly p50Millis: number;
  readonly p99Millis: number;
}

export interface TrainingStatus {
  /** Number of the last step and how many there will be; those before a resume count. */
  readonly step: number;
  readonly steps: number;
  /** Steps of this process. */
  readonly taken: number;
  /** From 1; 0 before the first step. */
  readonly epoch: number;
  readonly loss: number | null;
  readonly accuracy: Readonly<Record<'before' | 'training' | 'validation' | 'after', number | null>>;
}

/** Counts since the start. */
export interface AdaptationStatus {
  readonly predicted: number;
  /** Predicted frames of calls that changed the model, and such calls as they were seen. */
  readonly updatedFrames: number;
  readonly updates: number;
  /** Times that what was learnt was taken back, wholly or to the last good state. */
  readonly resets: number;
  readonly dropped: number;
  /** Predicted frames that were kept from adaptation for want of time. */
  readonly adaptationSkipped: number;
  readonly unreadable: number;
  readonly waiting: number;
  readonly snapshots: number;
  readonly entropy: number | null;
  readonly labels: Readonly<Record<'used' | 'waiting' | 'early' | 'forgotten' | 'invalid', number>>;
  /** Predicted frames by reason, and by class: the most frequent 10. */
  readonly reasons: Readonly<Record<string, number>>;
  readonly classes: readonly (readonly [name: string, frames: number])[];
}

/** What holds now. */
export interface Status {
  /** What is being done, such as `training`. */
  readonly phase: string;
  readonly plan: Planned | null;
  /** The smaller of what the plan may take and what a control group allows; null: no cap is known. */
  readonly capBytes: number | null;
  readonly durations: Durations | null;
  readonly training: TrainingStatus | null;
  readonly adaptation: AdaptationStatus | null;
}

/** A line of the log; the same again adds to `count`. */
export interface LogEntry {
  readonly id: number;
  /** Of the last time, milliseconds since the run began. */
  readonly at: number;
  readonly tone: 'plain' | 'good' | 'bad';
  readonly text: string;
  readonly count: number;
}

/** A predicted frame with a small picture of it. */
export interface SeenFrame {
  readonly frame: number;
  readonly name: string;
  /** Null if the logits were not finite. */
  readonly class: string | null;
  readonly probability: number | null;
  readonly entropy: number | null;
  readonly updated: boolean;
  readonly reason: string;
  /** JPEG, base64. */
  readonly image: string;
}

export interface Ended {
  readonly outcome: 'finished' | 'interrupted' | 'failed';
  readonly text: string;
}

export interface Tick {
  readonly point: Point;
  readonly status: Status;
  /** New entries, and the last one of before with a larger count. */
  readonly log: readonly LogEntry[];
  readonly frames: readonly SeenFrame[];
  readonly ended: Ended | null;
}

/** All that a page needs which comes late. */
export interface Snapshot {
  readonly run: Run;
  readonly status: Status;
  readonly ended: Ended | null;
  /** The last minutes, every tick; the whole run, in as many points. */
  readonly recent: readonly Point[];
  readonly whole: readonly Point[];
  readonly log: readonly LogEntry[];
  readonly frames: readonly SeenFrame[];
}

/** Before anything is known. */
export const nothingYet: Status = {
  phase: 'starting',
  plan: null,
  capBytes: null,
  durations: null,
  training: null,
  adaptation: null,
};
