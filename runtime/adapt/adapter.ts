/** @file What adapts: predicts frames as they come and changes the model between them. */

/** What became of the frames that were given. */
export interface Outcome {
  /** Logits of each frame, `count` rows of as many classes: the method's prediction. */
  readonly logits: Float32Array;
  /** Whether the model changed. */
  readonly updated: boolean;
  /** Why it did or did not, in a few words, such as `entropy` or `no drift`; the same words for the same reason. */
  readonly reason: string;
}

/** A label that arrived after its frame. */
export interface LateLabel {
  /** u8, RGB, channels-last, one image. */
  readonly image: Uint8Array;
  readonly label: number;
}

/** What predicts a stream and may change while it does. */
export interface Observer {
  readonly method: string;
  readonly classes: number;
  /** Side of the images in pixels. */
  readonly imageSize: number;
  /** Most frames of one call. */
  readonly batch: number;
  /** Predicts 1 to `batch` frames (u8, RGB, channels-last) in their order, and adapts to them unless told not to. */
  observe(images: Uint8Array, count: number, adapt?: boolean): Promise<Outcome>;
  /** Back to the model as it was deployed, with nothing remembered. */
  reset(): Promise<void>;
  /** What the plan states and what the run took, in bytes. */
  memory(): Promise<AdapterMemory>;
}

/** A model that is adapted by one method, and everything that the method remembers. */
export interface Adapter extends Observer, AsyncDisposable {
  /** Learns from frames whose labels have arrived; false: the method has no use for them. */
  teach(labelled: readonly LateLabel[]): Promise<boolean>;
  /** Everything that is needed to go on elsewhere, by name: the model's changed tensors, the optimizer's state, the method's own. */
  save(): Promise<ReadonlyMap<string, Float32Array>>;
  /** Goes on from what the same method saved with the same options. */
  load(state: ReadonlyMap<string, Float32Array>): Promise<void>;
  /** Changed tensors of the model in use, in graph layout, by parameter name. */
  learnt(): Promise<ReadonlyMap<string, Float32Array>>;
}

export interface AdapterMemory {
  /** The arena's exact peak, and the highest byte touched so far. */
  readonly plannedPeakBytes: number;
  readonly highWaterBytes: number;
  /** What the method keeps outside of the arena: copies of the model, buffered frames. */
  readonly stateBytes: number;
  /** Predicted for the whole process. */
  readonly plannedTotalBytes: number;
}
