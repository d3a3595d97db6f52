/** @file Gradients on their way: what flows into each tensor, summed as it comes. */

/** A gradient that flows into a tensor; a `fresh` one is owned by nobody else and may be added to. */
export interface Flow {
  readonly value: string;
  readonly fresh: boolean;
}

/** What sums are made with. */
export interface FlowActions {
  /** Adds `value` to `sum`, or copies it if it is the first. */
  accumulate(tensor: string, value: string, sum: string, first: boolean): void;
  /** A new value of the tensor's size. */
  fresh(tensor: string): string;
}

/** The gradients of one backward pass. */
export class GradientFlows {
  readonly #actions: FlowActions;
  readonly #into = new Map<string, readonly Flow[]>();

  /** @param start the tensor whose gradient, which somebody fills in, begins the pass */
  constructor(start: string, actions: FlowActions) {
    this.#actions = actions;
    this.#into.set(start, [{ value: actions.fresh(start), fresh: false }]);
  }

  /**
   * Lets a gradient flow into a tensor. Once there is a value that nobody else owns, the others are added to it at once, so that
   * they need not wait for the last.
   */
  add(tensor: string, flow: Flow): void {
    const flows = [...(this.#into.get(tensor) ?? []), flow];
    const target = flows.find(({ fresh }) => fresh);
    this.#into.set(tensor, target ? [target] : flows);
    if (!target) return;
    for (const other of flows) {
      if (other !== target) this.#actions.accumulate(tensor, other.value, target.value, false);
    }
  }

  /** One value that holds the whole gradient of a tensor; null if nothing flows into it. */
  whole(tensor: string): string | null {
    const flows = this.#into.get(tensor) ?? [];
    if (flows.length <= 1) return flows[0]?.value ?? null;
    // All of them are shared.
    const sum = this.#actions.fresh(tensor);
    for (const [index, { value }] of flows.entries()) this.#actions.accumulate(tensor, value, sum, index === 0);
    return sum;
  }
}
