/** @file Every profile that ships: sources, arithmetic of the computed figures, and the table in the folder's README. */
import { readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import { listProfiles } from '../../device-profiles/profiles.ts';
import { ASSUMED_EFFICIENCY, rooflineRates } from '../../device-profiles/rates.ts';
import type { DeviceProfile, Figure } from '../../device-profiles/schema.ts';

const profiles = await listProfiles();
/** The profiles of each board. */
const boards = new Map<string, DeviceProfile[]>();
for (const profile of profiles) {
  const board = profile.name.split('@')[0] ?? profile.name;
  boards.set(board, [...(boards.get(board) ?? []), profile]);
}

test('the boards that ship with the package', (t) => {
  const names = [
    ...['coral-dev-board-1gb', 'coral-dev-board-4gb'],
    ...['jetson-agx-orin-32gb', 'jetson-agx-orin-64gb', 'jetson-agx-orin-industrial', 'jetson-agx-thor'],
    ...['jetson-agx-xavier-32gb', 'jetson-agx-xavier-64gb', 'jetson-nano-2gb', 'jetson-nano-4gb'],
    ...['jetson-orin-nano-4gb', 'jetson-orin-nano-8gb', 'jetson-orin-nx-16gb', 'jetson-orin-nx-8gb', 'jetson-t4000'],
    ...['jetson-tx2', 'jetson-tx2-nx', 'jetson-xavier-nx-16gb', 'jetson-xavier-nx-8gb'],
    ...['raspberry-pi-4-1gb', 'raspberry-pi-4-2gb', 'raspberry-pi-4-4gb', 'raspberry-pi-4-8gb'],
    ...['raspberry-pi-5-16gb', 'raspberry-pi-5-2gb', 'raspberry-pi-5-4gb', 'raspberry-pi-5-8gb'],
  ];
  t.deepEqual([...boards.keys()].sort(), names.sort());
});

test('each board has a profile of its usual mode, and no two profiles are of the same mode', (t) => {
  for (const [board, modes] of boards) {
    t.true(
      modes.some(({ name }) => name === board),
      board,
    );
    // A mode has one name before and after the Super update, but other clocks.
    const kinds = modes.map(({ name, powerMode }) => `${powerMode.name} ${name.endsWith('-super')}`);
    t.is(new Set(kinds).size, kinds.length, `${board}: ${kinds.join(', ')}`);
    for (const { name, powerMode } of modes) {
      const mode = name.split('@')[1]?.replace(/-super$/, '');
      if (mode !== undefined) t.is(powerMode.name.toLowerCase().replace(/^mode_/, ''), mode, name);
    }
    const memories = modes.map((mode) => [mode.memoryTotalBytes.value, mode.memoryUsableBytes?.value]);
    for (const memory of memories) t.deepEqual(memory, memories[0], board);
  }
});

for (const profile of profiles) {
  test(`${profile.name}: sources and figures`, (t) => {
    const figures = figuresOf(profile);
    const used = new Set(figures.map(({ source }) => source.split(':')[0]));
    t.deepEqual([...used].sort(), Object.keys(profile.sources).sort(), 'sources used and sources listed');
    for (const { kind, source } of figures) {
      if (kind === 'computed') t.regex(source, /of|x|-|thread/, 'a computed figure says how');
    }
    assertArithmetic(t.true.bind(t), profile);
    t.is(profile.limits.threads.value, profile.cpu.cores.value);
  });
}

/** The formulas that the notes of computed figures state. */
function assertArithmetic(isTrue: (value: boolean, message: string) => void, profile: DeviceProfile): void {
  const { cpu, gpu, limits, memoryTotalBytes, memoryUsableBytes, cpuFlopsPerSecond } = profile;
  const near = (actual: number, expected: number, what: string) =>
    isTrue(Math.abs(actual / expected - 1) <= 1e-9, `${what}: ${actual} is not ${expected}`);
  const cap = memoryUsableBytes
    ? Math.floor(memoryUsableBytes.value / 2)
    : Math.floor((memoryTotalBytes.value * 2) / 5);
  isTrue(limits.memoryBytes.value === cap, `limits.memoryBytes: ${limits.memoryBytes.value} is not ${cap}`);
  if (cpuFlopsPerSecond) {
    // No core of these boards does more than two 128-bit FMA (16 flops) or less than one 64-bit (4) a cycle.
    const cycles = cpu.cores.value * (cpu.clockMegahertz?.value ?? Number.NaN) * 1e6;
    const perCycle = cpuFlopsPerSecond.value / cycles;
    isTrue(perCycle >= 4 && perCycle <= 16.01, `${perCycle} flops a cycle`);
    const stated = Number(/x (\d+) flops a cycle/.exec(cpuFlopsPerSecond.source)?.[1]);
    if (stated > 0) near(cpuFlopsPerSecond.value, cycles * stated, 'cpuFlopsPerSecond');
  }
  if (gpu?.flopsPerSecond && gpu.cores && gpu.clockMegahertz) {
    near(gpu.flopsPerSecond.value, gpu.cores.value * 2 * gpu.clockMegahertz.value * 1e6, 'gpu.flopsPerSecond');
  }
  const bandwidth = profile.memoryBandwidthBytesPerSecond;
  const clock = /memory clock ([\d.]+) MHz x 2 transfers x (\d+) bytes/.exec(bandwidth?.source ?? '');
  if (bandwidth?.kind === 'computed') near(bandwidth.value, Number(clock?.[1]) * 2e6 * Number(clock?.[2]), 'bandwidth');
}

function figuresOf(value: unknown): Figure[] {
  if (typeof value !== 'object' || value === null) return [];
  if ('kind' in value && 'source' in value) return [value as Figure];
  return Object.values(value).flatMap(figuresOf);
}

test('a Super board runs faster in the mode named after more watts', (t) => {
  const gigaflops = (name: string) =>
    profiles.find((profile) => profile.name === name)?.gpu?.flopsPerSecond?.value ?? 0;
  t.true(gigaflops('jetson-orin-nano-8gb@25w') > gigaflops('jetson-orin-nano-8gb'));
  t.true(gigaflops('jetson-orin-nano-8gb@7w') < gigaflops('jetson-orin-nano-8gb') / 2);
});

test('roofline rates: calibrated, a stated share of the peaks, or none', (t) => {
  const named = (name: string) => profiles.find((profile) => profile.name === name) ?? t.fail(name);
  const nano = named('jetson-nano-4gb') as DeviceProfile;
  const [peak, bandwidth] = [nano.cpuFlopsPerSecond?.value ?? 0, nano.memoryBandwidthBytesPerSecond?.value ?? 0];
  const rates = rooflineRates(nano);
  t.is(rates?.flopsPerSecond, peak * ASSUMED_EFFICIENCY);
  t.is(rates?.bytesPerSecond, bandwidth * ASSUMED_EFFICIENCY);
  t.regex(rates?.basis ?? '', /^assumed: 50 % of the CPU's peak and of the memory bandwidth$/);
  const pi = named('raspberry-pi-4-4gb') as DeviceProfile;
  t.is(rooflineRates(pi)?.bytesPerSecond, pi.memoryBandwidthBytesPerSecond?.value, 'measured already');
  const figure = (value: number): Figure => ({ value, kind: 'measured', source: 'calibrated' });
  const measured = {
    gemmFlopsPerSecond: figure(3e10),
    simdBytesPerSecond: figure(4e9),
    copyBytesPerSecond: figure(5e9),
  };
  t.deepEqual(rooflineRates({ ...nano, rates: measured }), {
    flopsPerSecond: 3e10,
    bytesPerSecond: 4e9,
    basis: 'calibrated on the device',
  });
  t.is(rooflineRates(named('coral-dev-board-1gb') as DeviceProfile), null);
});

test('the table of boards in the README is current', async (t) => {
  // Seen from the compiled file, which lies one level deeper.
  const file = new URL('../../../device-profiles/README.md', import.meta.url);
  const text = await readFile(file, 'utf8');
  const [begin, end] = ['<!-- boards: begin -->\n', '<!-- boards: end -->'];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  t.true(from >= 0 && to > from, 'device-profiles/README.md has lost its marks');
  const expected = boardTable();
  if (process.env.UPDATE_GOLDENS === '1') {
    await writeFile(file, text.slice(0, from) + begin + expected + text.slice(to));
    t.log('wrote device-profiles/README.md');
  } else {
    const hint = 'Hint: run the test with UPDATE_GOLDENS=1 and review the difference';
    t.is(text.slice(from + begin.length, to), expected, hint);
  }
  t.pass();
});

/** One line a board: figures of its usual mode, then the names of the others. */
function boardTable(): string {
  const size = (figure: Figure | undefined) => (figure ? `${Math.round(figure.value / 2 ** 20)}` : '-');
  const giga = (figure: Figure | undefined) => (figure ? (figure.value / 1e9).toFixed(1) : '-');
  const rows = [...boards].map(([board, modes]) => {
    const usual = modes.find(({ name }) => name === board);
    const others = modes.filter((mode) => mode !== usual).map(({ name }) => `\`@${name.split('@')[1]}\``);
    const cells = [
      `\`${board}\``,
      size(usual?.memoryTotalBytes),
      size(usual?.memoryUsableBytes),
      `${usual?.cpu.cores.value} ${usual?.cpu.model}`,
      giga(usual?.memoryBandwidthBytesPerSecond),
      giga(usual?.cpuFlopsPerSecond),
      giga(usual?.gpu?.flopsPerSecond),
      usual?.powerMode.name,
      others.join(' ') || '-',
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const head = ['board', 'MiB', 'usable', 'cores', 'GB/s', 'CPU GFLOPS', 'GPU GFLOPS', 'mode', 'other modes'];
  return [`| ${head.join(' | ')} |`, `| ${head.map(() => '---').join(' | ')} |`, ...rows, ''].join('\n');
}
