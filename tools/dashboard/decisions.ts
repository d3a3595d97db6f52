/** @file What an adaptation decides, call by call: what counts as an update, a reset, or as nothing new. */

/** Words of methods, guards and sessions for taking back what was learnt: to the deployed model, or to the last good state. */
const RESETS = /back to deployed|rolled back|^recovery$|^failed: /;

export const isReset = (reason: string): boolean => RESETS.test(reason);

export interface Decision {
  readonly updated: boolean;
  readonly reason: string;
}

/** Background adapters give their last reason again and again: it counts once, unless the model changed again. */
export class Decisions {
  #last: string | null = null;
  updates = 0;
  resets = 0;

  /** Whether there is something to tell: another reason than before, or a reset. */
  add({ updated, reason }: Decision): boolean {
    const isOther = reason !== this.#last;
    this.#last = reason;
    this.updates += updated ? 1 : 0;
    const resets = isReset(reason) && (updated || isOther);
    this.resets += resets ? 1 : 0;
    return isOther || resets;
  }
}
