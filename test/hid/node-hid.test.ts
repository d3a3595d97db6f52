import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import test from 'ava';
import { DataError, UsageError } from '../../runtime/errors.ts';
import { meterModels } from '../../runtime/hid/fnirsi/meters.ts';
import { keyDevices } from '../../runtime/hid/keys/key-devices.ts';
import { findDevices, type HidHandle, type HidLibrary, loadNodeHid, openWith } from '../../runtime/hid/node-hid.ts';
import { openLabelKeys, openPowerMeter } from '../../runtime/hid/open.ts';
import { steady } from './meter-packets.ts';

/** Whether the package is installed, with what its native library needs. */
const works = await import('node-hid')
  .then(({ default: hid }) => hid.devicesAsync())
  .then(
    () => true,
    () => false,
  );

test('node-hid loads and lists devices where it is installed, and is asked for where it is not', async (t) => {
  if (works) {
    const devices = await findDevices(await loadNodeHid(), [...meterModels, ...keyDevices]);
    t.log(`devices: ${JSON.stringify(devices)}`);
    t.true(devices.every(({ path }) => path.length > 0));
  } else {
    t.log('skipped: there is no node-hid, or no libusb (Debian package libusb-1.0-0)');
    await t.throwsAsync(loadNodeHid(), { instanceOf: DataError, message: /Hint: .*npm install node-hid/ });
  }
});

test('a library that cannot be loaded is an error that says what to do', async (t) => {
  const cause = new Error('libudev.so.1: cannot open shared object file\nRequire stack: ...');
  const error = await t.throwsAsync(
    loadNodeHid(() => Promise.reject(cause)),
    { instanceOf: DataError },
  );
  t.regex(
    error?.message ?? '',
    /^node-hid: cannot be loaded \(libudev\.so\.1: cannot open shared object file\)\nHint: .*libudev1/,
  );
  t.is(error?.cause, cause);
});

/** Stands where a device would be: node-hid's way of talking, without one. */
class Handle extends EventEmitter implements HidHandle {
  readonly written: string[] = [];
  closed = 0;

  async write(report: Buffer): Promise<number> {
    this.written.push(report.toString('hex'));
    return report.length;
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}

type Listed = Awaited<ReturnType<HidLibrary['devicesAsync']>>[number];

const fnb58: Listed = {
  vendorId: 0x2e3c,
  productId: 0x5558,
  path: '/dev/hidraw3',
  serialNumber: 'A1',
  release: 1,
  interface: 3,
};
const c1: Listed = { ...fnb58, vendorId: 0x0483, productId: 0x003b, path: '/dev/hidraw1', serialNumber: '' };
const pedal: Listed = { ...fnb58, vendorId: 0x1a86, productId: 0xe026, path: '/dev/hidraw5', usagePage: 1, usage: 6 };

function library(listed: readonly Listed[]) {
  const handles = new Map<string, Handle>();
  const hid: HidLibrary = {
    devicesAsync: async () => listed,
    HIDAsync: {
      open: async (path) => {
        if (path === c1.path) throw new Error('cannot open device with path /dev/hidraw1');
        const handle = new Handle();
        handles.set(path, handle);
        return handle;
      },
    },
  };
  return { hid, handle: (path = '') => handles.get(path) as Handle };
}

test('a meter is found by its ids, written to without a report number, and read', async (t) => {
  const { hid, handle } = library([pedal, fnb58]);
  const meter = await openPowerMeter({}, hid);
  t.teardown(() => meter[Symbol.asyncDispose]());
  const { written } = handle('/dev/hidraw3');
  await new Promise((resolve) => setImmediate(resolve));
  t.deepEqual(
    written.map((hex) => hex.slice(0, 6)),
    ['00aa81', '00aa82', '00aa82'],
  );
  t.true(written.every((hex) => hex.length === 2 * 65));
  handle('/dev/hidraw3').emit('data', steady(5, 2));
  t.is(meter.reading().packets.read, 1);
  handle('/dev/hidraw3').emit('error', new Error('could not read from HID device'));
  await new Promise((resolve) => setImmediate(resolve));
  t.like(meter.reading().connection, {
    ...{ connected: false, losses: 1 },
    lastError: '/dev/hidraw3: was lost (could not read from HID device)',
  });
  await meter[Symbol.asyncDispose]();
  t.is(handle('/dev/hidraw3').closed, 1);
  handle('/dev/hidraw3').emit('error', new Error('after the end'));
});

test('after its closing a device is not heard, and is closed once', async (t) => {
  const { hid, handle } = library([fnb58]);
  const [found] = await findDevices(hid, meterModels);
  const heard: unknown[] = [];
  const listener = {
    onReport: (report: unknown) => heard.push(report),
    onError: (error: unknown) => heard.push(error),
  };
  const transport = await openWith(hid, async () => found ?? t.fail())(listener);
  handle('/dev/hidraw3').emit('data', Buffer.of(1));
  await transport.close();
  await transport.close();
  handle('/dev/hidraw3').emit('data', Buffer.of(2));
  handle('/dev/hidraw3').emit('error', new Error('could not read from HID device'));
  t.deepEqual(heard, [Buffer.of(1)]);
  t.is(handle('/dev/hidraw3').closed, 1);
});

test('none, several, and one that may not be read', async (t) => {
  const { hid } = library([fnb58, c1, { ...fnb58 }, pedal]);
  const open = (device?: string, model?: string) =>
    openPowerMeter({ ...(device && { device }), ...(model && { model }) }, hid);
  await t.throwsAsync(open(), {
    instanceOf: DataError,
    message: /expected one but found 2:\n {2}C1 .*\n {2}FNB58 \(2e3c:5558\) \/dev\/hidraw3/,
  });
  await t.throwsAsync(open('A2'), {
    instanceOf: DataError,
    message: /none that is "A2" was found, but:\n.*\n.*\nHint: known are FNB48 \(0483:003a\)/,
  });
  await t.throwsAsync(open('0483:003B'), {
    instanceOf: DataError,
    message: /cannot be opened .*\nHint: .*70-edgeshift-hid\.rules/,
  });
  await t.throwsAsync(open('a1', 'FNB59'), {
    instanceOf: UsageError,
    message: /one of FNB48, C1, FNB58, FNB48S but got "FNB59"/,
  });
  await t.throwsAsync(openPowerMeter({}, library([]).hid), { message: /^power meter: none was found\nHint/ });
  const meter = await open('a1', 'fnb48');
  t.teardown(() => meter[Symbol.asyncDispose]());
  t.is(meter.reading().source, 'FNIRSI FNB48');
});

test('keys: the keyboard of a pedal that is a mouse too, or of a keyboard that is told by its ids', async (t) => {
  const mouse = { ...pedal, path: '/dev/hidraw4', usage: 2 };
  const unknown = { ...pedal, vendorId: 0x1234, productId: 0xabcd, path: '/dev/hidraw6' };
  const { hid, handle } = library([mouse, pedal, unknown]);
  const labels: unknown[] = [];
  const options = { classCount: 2, classes: ['cat', 'dog'], onLabel: (label: unknown) => labels.push(label) };
  for (const [device, path] of [
    [undefined, '/dev/hidraw5'],
    ['1234:ABCD', '/dev/hidraw6'],
  ] as const) {
    const keys = await openLabelKeys({ ...options, mapping: 'b=dog', ...(device && { device }) }, hid);
    keys.show(9);
    handle(path).emit('data', Buffer.from('010000050000000000', 'hex'));
    await keys[Symbol.asyncDispose]();
  }
  t.deepEqual(labels, [
    { frame: 9, class: 1 },
    { frame: 9, class: 1 },
  ]);
  await t.throwsAsync(openLabelKeys({ ...options, mapping: 'b=owl' }, hid), { instanceOf: UsageError });
});

test('the udev rules name every device, give nothing to everybody, and come early enough', async (t) => {
  const file = '70-edgeshift-hid.rules';
  const text = await readFile(new URL(`../../../runtime/hid/${file}`, import.meta.url), 'utf8');
  const rules = text.split('\n').filter((line) => line.startsWith('ATTRS'));
  const named = rules.flatMap((line) => {
    t.regex(line, /, MODE="0660", GROUP="plugdev", TAG\+="uaccess"$/);
    const [, vendor, products] = /^ATTRS\{idVendor\}=="(\w{4})", ATTRS\{idProduct\}=="([\w|]+)", /.exec(line) ?? [];
    return (products ?? '').split('|').map((product) => `${vendor}:${product}`);
  });
  const known = [...meterModels, ...keyDevices].map(({ vendorId, productId }) =>
    [vendorId, productId].map((id) => id.toString(16).padStart(4, '0')).join(':'),
  );
  t.deepEqual(named.toSorted(), known.toSorted());
  t.true(Number.parseInt(file, 10) < 73, 'uaccess is looked at by 73-seat-late.rules');
});
