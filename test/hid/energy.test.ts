import test from 'ava';
import * as fc from 'fast-check';
import { EnergyIntegral } from '../../runtime/hid/fnirsi/energy.ts';
import { MeterLog } from '../../runtime/hid/fnirsi/meter-log.ts';
import { fiveVolts, measurements, steady } from './meter-packets.ts';

const seed = 20261121;

test('a ramp is integrated exactly', (t) => {
  const energy = new EnergyIntegral(10);
  for (let n = 0; n <= 100; n += 1) energy.add(n / 10);
  const { joules, coveredMillis, gaps } = energy.counts();
  t.true(Math.abs(joules - 5) <= 1e-12, `${joules} J`);
  t.is(coveredMillis, 1000);
  t.is(gaps, 0);
});

test('runs of samples add up, and nothing is added between them', (t) => {
  const run = fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 20 });
  const property = fc.property(fc.array(run, { maxLength: 8 }), fc.nat(2), (runs, extraSkips) => {
    const energy = new EnergyIntegral(20);
    for (const watts of runs) {
      for (const one of watts) energy.add(one);
      for (let n = 0; n <= extraSkips; n += 1) energy.skip();
    }
    const areas = runs.map((watts) => watts.reduce((a, b) => a + b, 0) - ((watts[0] ?? 0) + (watts.at(-1) ?? 0)) / 2);
    const expected = areas.reduce((a, b) => a + b, 0) * 0.02;
    const { joules, coveredMillis, gaps } = energy.counts();
    t.true(Math.abs(joules - expected) <= 1e-9 * (1 + expected), `${joules} J, expected ${expected}`);
    t.is(
      coveredMillis,
      runs.reduce((sum, watts) => sum + 20 * (watts.length - 1), 0),
    );
    t.is(gaps, runs.length);
  });
  fc.assert(property, { seed, numRuns: 300 });
});

/** Sends a packet of 10 W at each of these moments. */
function logAt(...moments: readonly number[]): MeterLog {
  const log = new MeterLog();
  for (const moment of moments) log.add(steady(5, 2), moment);
  return log;
}

function about(log: MeterLog, nowMillis: number) {
  const { energy, elapsedMillis } = log.totals(nowMillis);
  return { ...energy, joules: Number(energy.joules.toFixed(9)), elapsedMillis };
}

test('packets that follow each other are one stretch: 16 samples are 150 ms', (t) => {
  t.deepEqual(about(logAt(40, 80, 120, 160), 160), { joules: 1.5, coveredMillis: 150, gaps: 0, elapsedMillis: 150 });
});

test('late packets that come all at once lose nothing', (t) => {
  t.deepEqual(about(logAt(40, 200, 200, 200), 200), { joules: 1.5, coveredMillis: 150, gaps: 0, elapsedMillis: 190 });
});

test('time without packets is a gap that nothing fills', (t) => {
  t.deepEqual(about(logAt(40, 80, 5000, 5040), 5040), {
    joules: 1.4,
    coveredMillis: 140,
    gaps: 1,
    elapsedMillis: 5030,
  });
  t.is(logAt(40).totals(9000).elapsedMillis, 8990, 'also at the end');
});

test('a wrong checksum and a garbage sample interrupt, a packet of another kind does not', (t) => {
  const good = steady(5, 2);
  const broken = good.map((byte, n) => (n === 20 ? byte ^ 1 : byte));
  const other = good.map((byte, n) => (n === 1 ? 3 : byte));
  const ten = { ...fiveVolts, volts: 5e5, amps: 2e5 };
  const partly = measurements([ten, { ...ten, volts: 188e5 }, ten, ten]);
  const about4 = (middle: Uint8Array) => {
    const log = new MeterLog();
    for (const [n, packet] of [good, middle, good].entries()) log.add(packet, 40 * (n + 1));
    const { coveredMillis, gaps } = log.totals(120).energy;
    return { coveredMillis, gaps };
  };
  t.deepEqual(about4(good), { coveredMillis: 110, gaps: 0 });
  t.deepEqual(about4(broken), { coveredMillis: 60, gaps: 1 });
  t.deepEqual(about4(partly), { coveredMillis: 90, gaps: 1 });
  t.deepEqual(about4(other), { coveredMillis: 70, gaps: 0 });
});

test('samples are timed from the arrival of their packet and never go back', (t) => {
  const times: number[] = [];
  const log = new MeterLog(({ atMillis }) => times.push(atMillis));
  for (const moment of [100, 200, 200]) log.add(steady(5, 2), moment);
  t.deepEqual(times, [70, 80, 90, 100, 170, 180, 190, 200, 200, 200, 200, 200]);
  t.is(log.totals(200).last?.atMillis, 200);
});
