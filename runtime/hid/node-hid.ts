/** @file HID devices through node-hid, which is loaded when somebody asks for one. */
import type { Device } from 'node-hid';
import { DataError } from '../errors.ts';
import type { OpenTransport } from './transport.ts';

/** What is used of node-hid. */
export interface HidLibrary {
  devicesAsync(): Promise<readonly Device[]>;
  readonly HIDAsync: { open(path: string): Promise<HidHandle> };
}

export interface HidHandle {
  on(event: 'data' | 'error', listener: (what: Buffer | Error) => void): unknown;
  write(report: Buffer): Promise<number>;
  close(): Promise<void>;
}

/** What tells one device, or one function of it, from others. */
export interface DeviceId {
  readonly name: string;
  readonly vendorId: number;
  readonly productId: number;
  /** Where a device has several functions: page and usage of the one that is meant. */
  readonly usage?: { readonly page: number; readonly id: number };
}

export interface FoundDevice<Id extends DeviceId = DeviceId> {
  readonly id: Id;
  /** Such as /dev/hidraw0. */
  readonly path: string;
  /** Empty if it has none. */
  readonly serialNumber: string;
}

/**
 * @param load Imports the package.
 * @throws DataError that says what to do if the package, or its library for this system, is not there
 */
export async function loadNodeHid(
  load: () => Promise<{ readonly default: HidLibrary }> = () => import('node-hid'),
): Promise<HidLibrary> {
  try {
    const { default: hid } = await load();
    // The native library is loaded with the first call.
    await hid.devicesAsync();
    return hid;
  } catch (cause) {
    throw new DataError(
      `node-hid: cannot be loaded (${messageOf(cause)})\n` +
        'Hint: USB HID devices need this optional package: `npm install node-hid`. It brings a library for Linux on ' +
        'x64, arm and arm64, which itself needs libudev and libusb (Debian: apt install libudev1 libusb-1.0-0).',
      { package: 'node-hid', platform: process.platform, arch: process.arch },
      { cause },
    );
  }
}

/** Devices with one of the ids, each path once, in the order of paths. */
export async function findDevices<Id extends DeviceId>(
  hid: HidLibrary,
  ids: readonly Id[],
): Promise<FoundDevice<Id>[]> {
  const found = new Map<string, FoundDevice<Id>>();
  for (const device of await hid.devicesAsync()) {
    const id = ids.find((candidate) => isOne(device, candidate));
    // A device is listed once for each of its usages.
    if (id === undefined || device.path === undefined || found.has(device.path)) continue;
    found.set(device.path, { id, path: device.path, serialNumber: device.serialNumber ?? '' });
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

function isOne(device: Device, { vendorId, productId, usage }: DeviceId): boolean {
  if (device.vendorId !== vendorId || device.productId !== productId) return false;
  return usage === undefined || (device.usagePage === usage.page && device.usage === usage.id);
}

/** Opens whatever `find` gives at that moment. */
export function openWith(hid: HidLibrary, find: () => Promise<FoundDevice>): OpenTransport {
  return async (listener) => {
    const { path } = await find();
    const device = await hid.HIDAsync.open(path).catch((cause: unknown) => {
      throw new DataError(
        `${path}: cannot be opened (${messageOf(cause)})\n` +
          'Hint: if no other program holds it, you are not allowed to: copy 70-edgeshift-hid.rules, which is in ' +
          'runtime/hid of this package, to /etc/udev/rules.d and plug the device in again.',
        { path },
        { cause },
      );
    });
    let closed = false;
    device.on('data', (report) => {
      if (!closed) listener.onReport(report as Buffer);
    });
    device.on('error', (error) => {
      if (!closed)
        listener.onError(new DataError(`${path}: was lost (${messageOf(error)})`, { path }, { cause: error }));
    });
    return {
      write: async (report) => {
        // The first byte is the report's number, 0 where there are none; the kernel takes it off.
        await device.write(Buffer.from([0, ...report]));
      },
      close: async () => {
        if (closed) return;
        closed = true;
        await device.close();
      },
    };
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}
