import test, { type ExecutionContext } from 'ava';
import { type MeterModel, meterModels } from '../../runtime/hid/fnirsi/meters.ts';
import { PowerMeter, type PowerMeterOptions } from '../../runtime/hid/fnirsi/power-meter.ts';
import { steady } from './meter-packets.ts';
import { SimulatedMeter } from './simulated-meter.ts';
import { VirtualClock } from './virtual-clock.ts';

const modelOf = (name: string) => meterModels.find((model) => model.name === name) as MeterModel;

interface Bench {
  readonly clock: VirtualClock;
  readonly device: SimulatedMeter;
  readonly meter: PowerMeter;
}

async function plugIn(name: string, options: Partial<PowerMeterOptions> = {}): Promise<Bench> {
  const clock = new VirtualClock();
  const device = new SimulatedMeter(clock);
  const meter = await PowerMeter.open({ model: modelOf(name), open: device.open, clock, ...options });
  await clock.advance(0);
  return { clock, device, meter };
}

function close({ clock, meter }: Bench): Promise<void> {
  return clock.until(meter[Symbol.asyncDispose]());
}

function near(t: ExecutionContext, actual: number, expected: number): void {
  t.true(Math.abs(actual - expected) <= 1e-9, `${actual}, expected ${expected}`);
}

for (const [name, begin] of [
  ['FNB48', ['81', '82', '83']],
  ['C1', ['81', '82', '83']],
  ['FNB58', ['81', '82', '82']],
  ['FNB48S', ['81', '82', '82']],
] as const) {
  test(`${name}: begins with ${begin.join(' ')}, and 1 s of 10 W is measured`, async (t) => {
    const bench = await plugIn(name);
    t.deepEqual(bench.device.commands, begin);
    await bench.device.measure(1000);
    const { source, energy, elapsedMillis, packets, last } = bench.meter.reading();
    t.is(source, `FNIRSI ${name}`);
    t.like(packets, { read: 25, garbageSamples: 0 });
    near(t, energy.joules, 9.9);
    t.is(elapsedMillis, 990);
    t.like(last, { volts: 5, amps: 2, atMillis: 1000 });
    await close(bench);
  });
}

test('keep-alives: one a packet for a meter that wants 3 ms, one a second for others, or as told', async (t) => {
  const kept = async (name: string, options: Partial<PowerMeterOptions>) => {
    const bench = await plugIn(name, options);
    const begun = bench.device.writes.length;
    await bench.device.measure(4000);
    const writes = bench.device.writes.slice(begun);
    t.true(writes.every(({ hex }) => hex === `aa83${'00'.repeat(61)}9e`));
    await close(bench);
    return writes.map(({ atMillis }) => atMillis);
  };
  const everyPacket = Array.from({ length: 100 }, (_, n) => 40 * (n + 1));
  t.deepEqual(await kept('FNB48', {}), everyPacket);
  t.deepEqual(await kept('FNB58', {}), [1000, 2000, 3000, 4000]);
  t.deepEqual(await kept('FNB58', { refreshMillis: 3 }), everyPacket, 'firmware 0.68');
});

test('unplugged and plugged in again: looked for less and less often, begun anew, the gap not bridged', async (t) => {
  const bench = await plugIn('FNB58');
  const { device, meter, clock } = bench;
  await device.measure(400);
  device.unplug();
  await clock.advance(4600);
  t.is(meter.reading().energy.gaps, 1, 'already');
  t.deepEqual(device.opened, [0, 650, 1150, 2150, 4150]);
  t.like(meter.reading().connection, { connected: false, losses: 1, failedAttempts: 4, lastError: 'no such device' });
  device.plugged = true;
  await clock.advance(4000);
  t.is(device.opened.at(-1), 8150);
  t.deepEqual(device.commands.slice(3), ['81', '82', '82']);
  await device.measure(400);
  const { energy, elapsedMillis, connection } = meter.reading();
  t.like(connection, { connected: true, losses: 1, failedAttempts: 4 });
  t.like(energy, { coveredMillis: 390 + 390, gaps: 1 });
  near(t, energy.joules, 7.8);
  t.is(elapsedMillis, 400 + 4600 + 4000 + 400 - 10);
  device.unplug();
  await clock.advance(250);
  t.is(device.opened.at(-1), 9400 + 250, 'packets came in between: soon again');
  await close(bench);
});

test('the wait between attempts does not exceed 30 s, and closing ends it', async (t) => {
  const bench = await plugIn('FNB58');
  bench.device.unplug();
  await bench.clock.advance(200_000);
  const { opened } = bench.device;
  const waits = opened.slice(1).map((at, n) => at - (opened[n] as number));
  t.deepEqual(waits.slice(0, 8), [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
  t.true(waits.slice(7).every((wait) => wait === 30_000));
  const before = bench.clock.nowMillis();
  await bench.meter[Symbol.asyncDispose]();
  t.is(bench.clock.nowMillis(), before);
});

test('a silent meter is asked again, then opened anew, less and less often', async (t) => {
  const bench = await plugIn('FNB58');
  const { device, meter, clock } = bench;
  await device.measure(400);
  device.silent = true;
  await clock.advance(2000);
  t.deepEqual(device.commands.slice(3), ['83', '83'], 'asked twice');
  device.silent = false;
  await device.measure(400);
  t.is(device.opened.length, 1);
  t.is(meter.reading().stalls, 2);
  t.is(meter.reading().energy.gaps, 1);
  device.silent = true;
  await clock.advance(20_000);
  t.true(device.opened.length > 2);
  t.is(device.closed.length, device.opened.length - (device.isOpen ? 1 : 0));
  t.is(meter.reading().connection.lastError, 'FNIRSI FNB58: silent for 3 s');
  const gapsBetween = device.opened.slice(2).map((at, n) => at - (device.opened[n + 1] as number));
  t.deepEqual(
    gapsBetween,
    [...gapsBetween].sort((a, b) => a - b),
  );
  await close(bench);
});

test('packets that come in bursts, with some that are damaged', async (t) => {
  const bench = await plugIn('FNB48');
  const { device, meter, clock } = bench;
  const good = steady(5, 2);
  const bad = good.map((byte, n) => (n === 40 ? byte ^ 0x10 : byte));
  for (let burst = 0; burst < 10; burst += 1) {
    await clock.advance(160);
    device.send(good, good, burst % 5 === 4 ? bad : good, good);
  }
  const { packets, energy } = meter.reading();
  t.like(packets, { read: 38, refused: { length: 0, marker: 0, kind: 0, checksum: 2 } });
  t.like(energy, { gaps: 2, coveredMillis: 10 * (38 * 4 - 3) });
  await close(bench);
});

test('closing drains: what still comes is read and not counted, and nothing is asked for', async (t) => {
  const bench = await plugIn('FNB48');
  const { device, meter, clock } = bench;
  await device.measure(400);
  const before = meter.reading();
  const writes = device.writes.length;
  const closing = meter[Symbol.asyncDispose]();
  await device.measure(480);
  t.true(device.isOpen);
  await clock.until(closing);
  t.is(device.closed[0], 400 + 480 + 1000, 'a second after the last packet');
  t.is(device.writes.length, writes);
  t.deepEqual(meter.reading(), { ...before, connection: { ...before.connection, connected: false } });
  await meter[Symbol.asyncDispose]();
  t.is(device.closed.length, 1);
});

test('draining ends after 5 s with a meter that does not stop, and at once when it is unplugged', async (t) => {
  const endless = await plugIn('FNB58');
  const closing = endless.meter[Symbol.asyncDispose]();
  await endless.device.measure(6000);
  await closing;
  t.deepEqual(endless.device.closed, [5000]);
  const gone = await plugIn('FNB58');
  await gone.device.measure(40);
  const letGo = gone.meter[Symbol.asyncDispose]();
  await gone.clock.advance(100);
  gone.device.unplug();
  await letGo;
  t.deepEqual(gone.device.closed, [140]);
});

test('a meter that cannot be written to is opened anew; one that is not there is an error', async (t) => {
  const bench = await plugIn('FNB58');
  bench.device.deaf = true;
  await bench.device.measure(1200);
  await bench.clock.advance(100);
  t.is(bench.meter.reading().connection.lastError, 'cannot be written to');
  bench.device.deaf = false;
  await bench.clock.advance(1000);
  await bench.device.measure(400);
  t.like(bench.meter.reading().connection, { connected: true, losses: 2 });
  await close(bench);
  const clock = new VirtualClock();
  const device = new SimulatedMeter(clock);
  device.plugged = false;
  await t.throwsAsync(PowerMeter.open({ model: modelOf('C1'), open: device.open, clock }), {
    message: 'no such device',
  });
});
