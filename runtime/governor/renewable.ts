/** @file What training has to know of an engine that gives way: when it may be exchanged, and what must be kept for that. */
import type { Engine } from '../engine/engine.ts';
import type { Trained } from '../train/checkpoint.ts';

/** An engine that may be exchanged for another one between two batches. */
export interface RenewableEngine extends Engine {
  /** The plan of the run, and the values of everything that learns in it, now or at other times. */
  readonly whole: Trained;
  readonly isOpen: boolean;
  /** Whether its plan is cut where that of the run is, so that features cached there are its own. */
  readonly takesCached: boolean;
  /** Newest file with all that was learnt; null: nothing was yet. Holds what the engine does not train at the moment. */
  checkpoint: string | null;
  /** Saves such a file before the engine is closed; null: nothing changes. */
  keep: (() => Promise<unknown>) | null;
  /** Whether `renew` should be called before the next batch. */
  isDue(): boolean;
  /** Closes the engine and opens one that fits; leaves it closed if the run is to end instead. */
  renew(): Promise<void>;
  /** Puts a checkpoint's values in the place of what was learnt since. */
  load(checkpoint: string): Promise<void>;
}

export const isRenewable = (engine: Engine): engine is RenewableEngine => 'renew' in engine;
export const isDue = (engine: Engine): boolean => isRenewable(engine) && engine.isDue();
export const isClosed = (engine: Engine): boolean => isRenewable(engine) && !engine.isOpen;
export const wholeOf = (engine: Engine): Trained => (isRenewable(engine) ? engine.whole : engine);
