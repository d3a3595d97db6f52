/**
 * @file Names of the keys of a keyboard: HID Usage Tables 1.5, page 07, as a US keyboard prints them; digits also for
 * the keypad's.
 */

const letters = [...'abcdefghijklmnopqrstuvwxyz'];
const digits = [...'1234567890'];
const functionKeys = Array.from({ length: 12 }, (_, n) => `f${n + 1}`);

/** Usage of the first key of each run of keys. */
const runs: readonly (readonly [number, readonly string[]])[] = [
  [0x04, letters],
  [0x1e, digits],
  [0x28, ['enter', 'escape', 'backspace', 'tab', 'space']],
  [0x3a, functionKeys],
  [0x49, ['insert', 'home', 'pageup', 'delete', 'end', 'pagedown', 'right', 'left', 'down', 'up']],
  [0x58, ['enter']],
  [0x59, digits],
];

/** Name of a key by its usage. */
export const keyboardKeys: ReadonlyMap<number, string> = new Map(
  runs.flatMap(([first, names]) => names.map((name, n) => [first + n, name] as const)),
);

/** Names of the keys of a device that numbers them, from 1. */
export function numberedKeys(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${n + 1}`);
}
