/**
 * @file What the pools share: a window is cut to its taps inside the map.
 */

// Results of locate; WebAssembly functions as compiled here return one value.
export let firstTap: i32 = 0;
export let endTap: i32 = 0;

/** Taps along one axis inside 0 .. size for a window that begins at `base`: firstTap .. endTap. */
// @ts-ignore: decorator
@inline
export function locate(base: i32, kernel: i32, dilation: i32, size: i32): void {
  firstTap = base < 0 ? (dilation - 1 - base) / dilation : 0;
  endTap = min(kernel, (size - base + dilation - 1) / dilation);
}
