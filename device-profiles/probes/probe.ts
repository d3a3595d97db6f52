/** @file What every probe has in common. */

/** A probe, or why this machine has nothing for it, as a sentence. */
export type Found<T> = { readonly probe: T } | { readonly missing: string };
