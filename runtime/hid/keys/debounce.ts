/** @file Presses of keys, told from contacts that bounce. */

/** A foot on a switch; contacts settle in a few milliseconds, nobody presses twice in this time. */
export const DEBOUNCE_MILLIS = 40;

/**
 * Tells each press once and at once: a key that goes down counts if it has not changed, up or down, for some time. So a
 * press is never late, and a contact that bounces, when pressed or when let go, extends that time.
 */
export class Debounce {
  readonly #millis: number;
  #down: ReadonlySet<string> = new Set();
  /** When each key changed last. */
  readonly #changed = new Map<string, number>();
  #ignored = 0;

  /** @param millis Least time since a key's last change for a press to count; 0 lets all through. */
  constructor(millis = DEBOUNCE_MILLIS) {
    this.#millis = millis;
  }

  /** Presses that did not count. */
  get ignored(): number {
    return this.#ignored;
  }

  /**
   * @param down Keys that are down now.
   * @param atMillis Not before the call before.
   * @returns Keys that were pressed, in the order of `down`.
   */
  press(down: ReadonlySet<string>, atMillis: number): string[] {
    const pressed = [...down].filter((key) => !this.#down.has(key));
    const released = [...this.#down].filter((key) => !down.has(key));
    const counted = pressed.filter(
      (key) => atMillis - (this.#changed.get(key) ?? Number.NEGATIVE_INFINITY) >= this.#millis,
    );
    for (const key of [...pressed, ...released]) this.#changed.set(key, atMillis);
    this.#ignored += pressed.length - counted.length;
    this.#down = down;
    return counted;
  }

  /** The device is gone, and with it what was held down. */
  release(): void {
    this.#down = new Set();
  }
}
