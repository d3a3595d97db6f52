/** @file A pedal that a test presses. */
import { EventEmitter } from 'node:events';
import type { HidHandle, HidLibrary } from '../../runtime/hid/node-hid.ts';

/** Stands where a pedal would be that sends letters. */
export class Pedal extends EventEmitter implements HidHandle {
  isOpen = true;

  async write(report: Buffer): Promise<number> {
    return report.length;
  }

  async close(): Promise<void> {
    this.isOpen = false;
  }

  press(letter: 'a' | 'b' | 'c' | 'd' | 'e'): void {
    const usage = 4 + letter.charCodeAt(0) - 'a'.charCodeAt(0);
    for (const key of [usage, 0]) this.emit('data', Buffer.of(1, 0, 0, key, 0, 0, 0, 0, 0));
  }
}

/** As node-hid would show it. */
export function pedalLibrary(pedal: Pedal): HidLibrary {
  const ids = { vendorId: 0x1a86, productId: 0xe026, usagePage: 1, usage: 6, release: 1, interface: 0 };
  return {
    devicesAsync: async () => [{ ...ids, path: '/dev/hidraw5', serialNumber: 'P1' }],
    HIDAsync: { open: async () => pedal },
  };
}
