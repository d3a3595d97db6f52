/** A USB power meter as a profile's source of energy, over a transport that a test moves. */
import test from 'ava';
import { meterModels } from '../../runtime/hid/fnirsi/meters.ts';
import { PowerMeter } from '../../runtime/hid/fnirsi/power-meter.ts';
import { UsbMeter } from '../../tools/profiler/probes/usb-meter.ts';
import { SimulatedMeter } from '../hid/simulated-meter.ts';
import { VirtualClock } from '../hid/virtual-clock.ts';

async function openMeter() {
  const clock = new VirtualClock();
  const device = new SimulatedMeter(clock);
  const [model] = meterModels.filter(({ name }) => name === 'FNB58');
  if (!model) throw new Error('expected the model FNB58');
  const meter = await PowerMeter.open({ model, open: device.open, clock });
  return { clock, device, meter, close: () => clock.until(meter[Symbol.asyncDispose]()) };
}

test('energy counts from the first reading of a run, for the next run anew', async (t) => {
  const { clock, device, meter, close } = await openMeter();
  await device.measure(1000);
  for (const seconds of [2, 3]) {
    const source = new UsbMeter(meter, clock);
    t.is(source.name, 'FNIRSI FNB58');
    t.like(await source.read(), { joules: 0 });
    await device.measure(1000 * seconds);
    const { watts, joules } = (await source.read()) ?? { watts: Number.NaN, joules: Number.NaN };
    t.true(Math.abs(watts - 10) < 1e-9, `${watts} W`);
    t.true(Math.abs(joules - 10 * seconds) < 1e-6, `${joules} J`);
    t.deepEqual(source.missing(), []);
  }
  await close();
});

test('a meter that was unplugged does not answer, and what it did not measure is said', async (t) => {
  const { clock, device, meter, close } = await openMeter();
  await device.measure(200);
  const source = new UsbMeter(meter, clock);
  await source.read();
  await device.measure(1000);
  device.unplug();
  await clock.advance(1000);
  t.is(await source.read(), null);
  device.plugged = true;
  await clock.advance(3000);
  await device.measure(2000);
  const { joules } = (await source.read()) ?? { joules: Number.NaN };
  t.true(Math.abs(joules - 30) < 1, `${joules} J`);
  const [sentence = ''] = source.missing();
  t.regex(sentence, /^energy is that of (2\.9|3\.0) s which the FNIRSI FNB58 measured, out of 7\.0 s$/);
  await close();
});

test('before the meter has said anything there is no reading', async (t) => {
  const { clock, meter, close } = await openMeter();
  const source = new UsbMeter(meter, clock);
  t.is(await source.read(), null);
  t.deepEqual(source.missing(), []);
  await close();
});
