/**
 * @file Work that stops between two of its steps while something more urgent goes on in another thread.
 *
 * The lowest priority is not enough for that. Linux' scheduler lets whoever it has chosen run to the end of a slice, which is a tick
 * of 4 ms at 250 Hz, and chooses a thread of little weight when those of more weight have just run more than their share (EEVDF,
 * from Linux 6.6; Stoica and Abdel-Wahab, 1995): on two cores 1 to 2 % of predictions waited one tick.
 */

/** The urgent side. */
export class RightOfWay {
  /** What those who give way to it are made with; may be sent to other threads. */
  readonly shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  readonly #underWay = new Int32Array(this.shared);

  /** Others wait as long as `work` goes on. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    Atomics.add(this.#underWay, 0, 1);
    try {
      return await work();
    } finally {
      if (Atomics.sub(this.#underWay, 0, 1) === 1) Atomics.notify(this.#underWay, 0);
    }
  }
}

/**
 * The other side: a function to call between steps. It blocks its thread while something is under way, but no longer than the
 * thread has gone on since the last time, so that it keeps half of its speed where one thing follows the other.
 * @param shared `RightOfWay.shared`
 */
export function givingWay(shared: SharedArrayBuffer): () => void {
  const underWay = new Int32Array(shared);
  let resumed = performance.now();
  return () => {
    const count = Atomics.load(underWay, 0);
    if (count === 0) return;
    Atomics.wait(underWay, 0, count, performance.now() - resumed);
    resumed = performance.now();
  };
}
