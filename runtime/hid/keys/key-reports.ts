/**
 * @file What the reports of keyboards, pedals and key pads say of their keys. Every reader is pure and never throws.
 */
import { keyboardKeys } from './key-names.ts';

/** Names of the keys that are down; null if the report is about something else, or is not to be believed. */
export type KeyReader = (report: Uint8Array) => ReadonlySet<string> | null;

/** In place of every key, when more are down than a keyboard can tell apart. */
const ROLL_OVER = 0x01;
const KEYBOARD_BYTES = 8;
const KEYBOARD_REPORT = 1;

/**
 * Boot keyboards (HID 1.11, appendix B): modifiers, a byte that is reserved, up to six usages. With a number in front
 * also what PCsensor's pedals send: `01 00 00 05 00 00 00 00 00` is b. Modifiers have no names here, unknown keys are
 * left out.
 */
export const readKeyboard: KeyReader = (report) => {
  const numbered = report.length === KEYBOARD_BYTES + 1 && report[0] === KEYBOARD_REPORT;
  if (!numbered && report.length !== KEYBOARD_BYTES) return null;
  const usages = report.subarray(report.length - 6);
  if (usages.includes(ROLL_OVER)) return null;
  return new Set(Array.from(usages, (usage) => keyboardKeys.get(usage)).filter((name) => name !== undefined));
};

/** VEC's pedal: a bit each for left, middle and right in the first of two bytes. Source: its report descriptor. */
export const readVecPedal: KeyReader = (report) => {
  if (report.length !== 2) return null;
  const bits = report[0] as number;
  return new Set(['1', '2', '3'].filter((_, n) => bits & (1 << n)));
};

const STREAM_DECK_REPORT = 1;
const KEY_STATES = 0;
const MOST_KEYS = 64;

/**
 * Elgato's newer devices, from left to right and top to bottom: 01, 00 for keys (dials and touch have others), u16
 * little-endian count of keys, a byte each. The pedal sends `01 00 03 00` and three keys. Source:
 * docs.elgato.com/streamdeck/hid/general.
 */
export const readStreamDeck: KeyReader = (report) => {
  if (report[0] !== STREAM_DECK_REPORT || report[1] !== KEY_STATES || report.length < 4) return null;
  const count = (report[2] as number) | ((report[3] as number) << 8);
  if (count > MOST_KEYS || report.length < 4 + count) return null;
  return keysDown(report.subarray(4, 4 + count));
};

/** Stream Deck Mini: 01 and a byte for each of six keys. */
export const readStreamDeckMini: KeyReader = (report) => readStates(report, 6);

/** The first Stream Deck: 01 and a byte for each of 15 keys, of which each row of five begins at the right. */
export const readFirstStreamDeck: KeyReader = (report) => {
  const keys = readStates(report, 15);
  return keys && new Set(Array.from(keys, mirrored));
};

function readStates(report: Uint8Array, count: number): ReadonlySet<string> | null {
  if (report[0] !== STREAM_DECK_REPORT || report.length < 1 + count) return null;
  return keysDown(report.subarray(1, 1 + count));
}

function keysDown(states: Uint8Array): ReadonlySet<string> {
  return new Set(Array.from(states.keys(), (n) => `${n + 1}`).filter((_, n) => states[n] !== 0));
}

function mirrored(name: string): string {
  const n = Number(name) - 1;
  return `${n - (n % 5) + (4 - (n % 5)) + 1}`;
}
