/** @file Devices whose keys can be read: pedals and key pads that are known by their ids. */
import type { DeviceId } from '../node-hid.ts';
import { keyboardKeys, numberedKeys } from './key-names.ts';
import {
  type KeyReader,
  readFirstStreamDeck,
  readKeyboard,
  readStreamDeck,
  readStreamDeckMini,
  readVecPedal,
} from './key-reports.ts';

export interface KeyDevice extends DeviceId {
  readonly name: string;
  readonly read: KeyReader;
  /** Names of the keys it may have. */
  readonly keys: readonly string[];
}

const KEYBOARD = { page: 0x01, id: 0x06 };
const anyKey = [...new Set(keyboardKeys.values())];

/** Pedals that send the letters of a keyboard, a, b, c from left to right unless they were programmed. */
function keyboard(name: string, vendorId: number, productId: number): KeyDevice {
  return { name, vendorId, productId, usage: KEYBOARD, read: readKeyboard, keys: anyKey };
}

function elgato(name: string, productId: number, keyCount: number, read: KeyReader = readStreamDeck): KeyDevice {
  return { name, vendorId: 0x0fd9, productId, read, keys: numberedKeys(keyCount) };
}

export const keyDevices: readonly KeyDevice[] = [
  { name: 'VEC pedal', vendorId: 0x05f3, productId: 0x00ff, read: readVecPedal, keys: numberedKeys(3) },
  keyboard('PCsensor pedal', 0x0c45, 0x7403),
  keyboard('PCsensor pedal', 0x0c45, 0x7404),
  keyboard('PCsensor pedal', 0x413d, 0x2107),
  keyboard('PCsensor pedal', 0x1a86, 0xe026),
  keyboard('PCsensor pedal', 0x3553, 0xb001),
  keyboard('Scythe pedal', 0x0426, 0x3011),
  keyboard('Scythe pedal', 0x055a, 0x0998),
  elgato('Stream Deck', 0x0060, 15, readFirstStreamDeck),
  elgato('Stream Deck Mini', 0x0063, 6, readStreamDeckMini),
  elgato('Stream Deck XL', 0x006c, 32),
  elgato('Stream Deck V2', 0x006d, 15),
  elgato('Stream Deck MK.2', 0x0080, 15),
  elgato('Stream Deck +', 0x0084, 8),
  elgato('Stream Deck Pedal', 0x0086, 3),
];

/** A keyboard that is none of these, by the ids the system shows of it. */
export function keyboardDevice(vendorId: number, productId: number): KeyDevice {
  return keyboard('keyboard', vendorId, productId);
}
