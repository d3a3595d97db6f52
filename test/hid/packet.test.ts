import test from 'ava';
import * as fc from 'fast-check';
import { MeterLog } from '../../runtime/hid/fnirsi/meter-log.ts';
import { commandPacket, commands, decodePacket } from '../../runtime/hid/fnirsi/packet.ts';
import { Random } from '../../runtime/train/random.ts';
import { crc8, fiveVolts, measurements } from './meter-packets.ts';

const seed = 20261121;

test('the CRC of these tests has the published check value', (t) => {
  t.is(crc8(Buffer.from('123456789')), 0x4b);
});

test('commands are the documented packets, byte for byte', (t) => {
  const zeros = '00'.repeat(61);
  const hex = (packet: Uint8Array) => Buffer.from(packet).toString('hex');
  t.is(hex(commandPacket(commands.identify)), `aa81${zeros}8e`);
  t.is(hex(commandPacket(commands.start)), `aa82${zeros}96`);
  t.is(hex(commandPacket(commands.keepAlive)), `aa83${zeros}9e`);
});

test('a packet written out by hand', (t) => {
  // 5.12345 V, 1.23456 A, 2.731 V, 0.601 V, 1, 25.3 degrees; then zeros with the last one at 20 V, 5 A.
  const first = `${'59d10700'}${'40e20100'}${'ab0a'}${'5902'}${'01'}${'fd00'}`;
  const last = `${'80841e00'}${'20a10700'}${'0000'}${'0000'}${'01'}${'0000'}`;
  const body = Buffer.from(`04${first}${'00'.repeat(30)}${last}7c`, 'hex');
  const { samples, refusal } = decodePacket(Buffer.from([0xaa, ...body, crc8(body)]));
  t.is(refusal, null);
  t.deepEqual(samples?.[0], { volts: 5.12345, amps: 1.23456, dPlusVolts: 2.731, dMinusVolts: 0.601, celsius: 25.3 });
  t.deepEqual(samples?.[1], { volts: 0, amps: 0, dPlusVolts: 0, dMinusVolts: 0, celsius: 0 });
  t.deepEqual(samples?.[3], { volts: 20, amps: 5, dPlusVolts: 0, dMinusVolts: 0, celsius: 0 });
});

const rawSample = fc.record({
  volts: fc.nat(48e5),
  amps: fc.nat(7e5),
  dPlus: fc.nat(20_000),
  dMinus: fc.nat(20_000),
  unknown: fc.nat(255),
  celsius: fc.nat(1000),
});
const rawPacket = fc.tuple(fc.tuple(rawSample, rawSample, rawSample, rawSample), fc.nat(255));

test('what a meter measures comes out, wherever in memory the packet lies', (t) => {
  const property = fc.property(rawPacket, fc.nat(7), ([raw, byte62], offset) => {
    const memory = new Uint8Array(offset + 64);
    memory.set(measurements(raw, byte62), offset);
    const { samples } = decodePacket(memory.subarray(offset));
    const expected = raw.map(({ volts, amps, dPlus, dMinus, celsius }) => ({
      ...{ volts: volts / 1e5, amps: amps / 1e5, celsius: celsius / 10 },
      ...{ dPlusVolts: dPlus / 1e3, dMinusVolts: dMinus / 1e3 },
    }));
    t.deepEqual(samples, expected);
  });
  fc.assert(property, { seed, numRuns: 300 });
});

test('every change of a single bit is caught', (t) => {
  let caught = 0;
  const property = fc.property(rawPacket, ([raw, byte62]) => {
    const packet = measurements(raw, byte62);
    for (let bit = 0; bit < 512; bit += 1) {
      packet[bit >> 3] = (packet[bit >> 3] as number) ^ (1 << (bit & 7));
      const { refusal } = decodePacket(packet);
      const expected = bit < 8 ? 'marker' : bit < 16 ? 'kind' : 'checksum';
      if (refusal !== expected) throw new Error(`bit ${bit}: expected ${expected} but got ${refusal}`);
      caught += 1;
      packet[bit >> 3] = (packet[bit >> 3] as number) ^ (1 << (bit & 7));
    }
  });
  fc.assert(property, { seed, numRuns: 100 });
  t.is(caught, 51_200);
});

test('the first sample of an FNB48 that was read before is garbage, the ones behind it are not', (t) => {
  const garbage = { ...fiveVolts, volts: 18_874_370, amps: 17_039_408, dPlus: 51_840, dMinus: 0, celsius: 0 };
  const { samples } = decodePacket(measurements([garbage, fiveVolts, fiveVolts, fiveVolts]));
  t.deepEqual(
    samples?.map((sample) => sample?.volts ?? null),
    [null, 5.12345, 5.12345, 5.12345],
  );
  for (const field of ['volts', 'amps', 'dPlus', 'dMinus'] as const) {
    const one = { ...fiveVolts, [field]: garbage[field] || 30_000 };
    t.is(decodePacket(measurements([fiveVolts, one, fiveVolts, fiveVolts])).samples?.[1], null, field);
  }
});

test('what is refused is counted by its reason', (t) => {
  const log = new MeterLog();
  const good = measurements([fiveVolts, fiveVolts, fiveVolts, fiveVolts]);
  const changed = (at: number, byte: number) => good.map((old, n) => (n === at ? byte : old));
  const packets = [
    good.subarray(0, 63),
    new Uint8Array(0),
    changed(0, 0),
    changed(1, 3),
    changed(1, 0xff),
    changed(30, 9),
    good,
  ];
  for (const packet of packets) log.add(packet, 0);
  t.deepEqual(log.totals(0).packets, {
    read: 1,
    refused: { length: 2, marker: 1, kind: 2, checksum: 1 },
    garbageSamples: 0,
  });
});

/** What comes of a packet, by the layout alone. */
function fateOf(packet: Uint8Array): string {
  if (packet.length !== 64) return 'length';
  if (packet[0] !== 0xaa) return 'marker';
  if (packet[1] !== 0x04) return 'kind';
  return crc8(packet.subarray(1, 63)) === packet[63] ? 'read' : 'checksum';
}

/** Bytes of any kind, with more that look like packets than chance would make. */
function drawPacket(random: Random): Uint8Array {
  const shape = random.bits();
  const packet = new Uint8Array(shape % 16 === 0 ? random.integer(0, 200) : 64);
  const words = new DataView(packet.buffer);
  for (let at = 0; at + 4 <= packet.length; at += 4) words.setUint32(at, random.bits());
  if (packet.length !== 64) return packet;
  if (shape & 0x10) packet[0] = 0xaa;
  if (shape & 0x20) packet[1] = 0x04;
  if (shape & 0x40 && packet[1] === 0x04) packet[63] = crc8(packet.subarray(1, 63));
  return packet;
}

test('a million packets of fuzz: no crash, and the fate that the layout says', (t) => {
  const runs = 1000;
  const each = 1000;
  const counts: Record<string, number> = { read: 0, length: 0, marker: 0, kind: 0, checksum: 0 };
  const log = new MeterLog(({ volts, amps, atMillis }) => {
    if (!(volts <= 60 && amps <= 12 && atMillis >= 0)) throw new Error(`${volts} V, ${amps} A at ${atMillis} ms`);
  });
  let now = 1000;
  const property = fc.property(fc.nat(), (key) => {
    const random = new Random(seed, key);
    for (let n = 0; n < each; n += 1) {
      const packet = drawPacket(random);
      const fate = fateOf(packet);
      counts[fate] = (counts[fate] as number) + 1;
      now += random.integer(0, 80);
      log.add(packet, now);
    }
    const { packets, energy } = log.totals(now);
    const { read, ...refused } = counts;
    t.like(packets, { read, refused });
    if (!(energy.joules >= 0 && energy.coveredMillis <= 40 * packets.read)) throw new Error(JSON.stringify(energy));
  });
  t.notThrows(() => fc.assert(property, { seed, numRuns: runs, endOnFailure: true }));
  t.is(
    Object.values(counts).reduce((sum, count) => sum + count, 0),
    runs * each,
  );
  t.log(`seed ${seed}: ${JSON.stringify(counts)}`);
  t.true(Object.values(counts).every((count) => count > 10_000));
});
