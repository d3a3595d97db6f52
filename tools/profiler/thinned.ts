/** @file A series of any length in a bounded room. */

/**
 * Keeps at most `capacity` values. When it is full, neighbours are merged in pairs, and from then on twice as many values make
 * one: a run of hours costs no more than one of minutes.
 */
export class Thinned<T> {
  readonly #capacity: number;
  readonly #merge: (a: T, b: T) => T;
  #kept: T[] = [];
  /** Values that make one, and those of the one that is not full yet. */
  #stride = 1;
  #open: { value: T; count: number } | null = null;

  /** @param merge one value in place of two neighbours, such as the larger */
  constructor(capacity: number, merge: (a: T, b: T) => T) {
    this.#capacity = capacity;
    this.#merge = merge;
  }

  add(value: T): void {
    this.#open =
      this.#open === null
        ? { value, count: 1 }
        : { value: this.#merge(this.#open.value, value), count: this.#open.count + 1 };
    if (this.#open.count < this.#stride) return;
    this.#kept.push(this.#open.value);
    this.#open = null;
    if (this.#kept.length >= this.#capacity) this.#halve();
  }

  values(): readonly T[] {
    return this.#open === null ? [...this.#kept] : [...this.#kept, this.#open.value];
  }

  #halve(): void {
    const halves: T[] = [];
    for (let i = 0; i < this.#kept.length; i += 2) {
      const [a, b] = this.#kept.slice(i, i + 2) as [T, T?];
      halves.push(b === undefined ? a : this.#merge(a, b));
    }
    this.#kept = halves;
    this.#stride *= 2;
  }
}
