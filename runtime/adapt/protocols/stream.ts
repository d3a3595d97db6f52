/** @file A stream as data: which images come in which order, how each is corrupted, and where the model is reset. */

/** What is done to an image before it is shown; `corruption` null and severity 0 for one left as it is. */
export interface Condition {
  readonly corruption: string | null;
  /** 1 to 5. */
  readonly severity: number;
}

/** One image of a stream. */
export interface StreamSample extends Condition {
  /** Index in the data set. */
  readonly image: number;
  readonly label: number;
}

/** A stretch of a stream between two boundaries; the three columns have one entry a frame. */
export interface Segment {
  /** The corruption, `mixed` or `clean`. */
  readonly name: string;
  /** Whether the model is as it was deployed when the segment begins; true of the first. */
  readonly reset: boolean;
  /** Indices in the data set. */
  readonly images: Uint32Array;
  readonly labels: Int32Array;
  /** Indices of the stream's `conditions`. */
  readonly conditions: Uint8Array;
}

/** What a stream was built from, besides the labels; the same gives the same stream. */
export interface StreamOrigin {
  readonly protocol: ProtocolName;
  readonly seed: number;
  /** Of every corruption; the highest of `gradual`. */
  readonly severity: number;
  /** Concentration of `correlated`, null elsewhere. */
  readonly delta: number | null;
  /** Images of each corruption. */
  readonly imagesPerCorruption: number;
}

/** Plain data, so that it can be sent to another thread or process. */
export interface Stream extends StreamOrigin {
  readonly classes: number;
  readonly conditions: readonly Condition[];
  readonly segments: readonly Segment[];
  /** Of all segments. */
  readonly frames: number;
  /** Most frames of one call that the protocol allows, null for any. */
  readonly batchLimit: number | null;
}

/** What each protocol shows. */
export const protocols = {
  continual: 'every corruption in order, never reset',
  reset: 'every corruption in order, the model reset before each',
  gradual: 'severity rises from 1 and falls back inside every corruption',
  mixed: 'all corruptions shuffled together',
  correlated: 'as continual, labels in runs whose lengths are drawn from a Dirichlet distribution',
  'single-class': 'as continual, class after class inside every corruption',
  'batch-1': 'as continual, one frame at a time',
  'source-only': 'clean images only',
  'back-to-source': 'as continual, then clean images',
} as const;

export type ProtocolName = keyof typeof protocols;

export const protocolNames = Object.keys(protocols) as readonly ProtocolName[];

/** The frame at a place of a segment. */
export function sampleAt(stream: Stream, segment: Segment, place: number): StreamSample {
  const condition = stream.conditions[segment.conditions[place] as number] as Condition;
  return { ...condition, image: segment.images[place] as number, label: segment.labels[place] as number };
}

/** `fog 3`, or `clean`. */
export function conditionText({ corruption, severity }: Condition): string {
  return corruption === null ? 'clean' : `${corruption} ${severity}`;
}
