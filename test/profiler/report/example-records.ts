/** @file Records of runs that never were, drawn from a seed: plausible in every figure, and with every kind of value that may be missing. */
import type { PlannedBytes } from '../../../runtime/plan/plan.ts';
import { Random } from '../../../runtime/train/random.ts';
import type { Machine, Mark, PlannedRun, ProfileRecord, Sample, StepTime } from '../../../tools/profiler/record.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const machine: Machine = {
  system: 'Linux 5.15.148-tegra arm64',
  processor: 'Cortex-A78AE',
  cores: 6,
  memoryBytes: 7.4 * GIB,
  board: 'jetson-orin-nano-8gb',
  powerMode: '15W',
  commit: '7a2b13410f0e4c1c9b7a5d3e2f1a0b9c8d7e6f50',
  versions: { edgeshift: '0.1.0', node: 'v20.20.2', 'onnxruntime-node': '1.30.0' },
};

const BLOCKS = 17;
const TRAINED = 5;
const blockName = (block: number): string => `features.${block + 1}`;

function plannedBytes(random: Random): PlannedBytes {
  const size = (mebibytes: number): number => Math.round(mebibytes * MIB * random.uniform(0.9, 1.1));
  return {
    ...{ frozenWeights: size(9.1), trainableWeights: size(5.2), gradients: size(5.2), optimizer: size(5.2) },
    ...{ saved: size(8.4), workspace: size(13.7), prefixPeak: size(17.5), base: size(72), loading: 0, adaptation: 0 },
    export: size(4.2),
  };
}

function plannedRun(random: Random, budgetBytes: number): PlannedRun {
  const bytes = plannedBytes(random);
  const sizes = (total: number, parts: number): readonly number[] => {
    const weights = Array.from({ length: parts }, () => random.uniform() ** 3 + 0.02);
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((weight) => Math.floor((total * weight) / sum));
  };
  const buffers = (category: string, total: number, names: readonly string[]) =>
    sizes(total, names.length).map((size, at) => ({ name: names[at] ?? '', category, bytes: size }));
  const layers = Array.from({ length: TRAINED }, (_, at) => blockName(BLOCKS - TRAINED + at)).flatMap((block) =>
    ['0/Conv', '1/Conv', '2/Conv'].map((layer) => `${block}/conv/${layer}`),
  );
  const atPeak = [
    ...buffers(
      'frozenWeights',
      0.4 * bytes.frozenWeights,
      layers.map((layer) => `${layer}.weight`),
    ),
    ...buffers('trainableWeights', bytes.trainableWeights, [
      'classifier.weight',
      ...layers.map((name) => `${name}.bias`),
    ]),
    ...buffers('gradients', bytes.gradients, ['gradient classifier.weight', 'gradient classifier.bias']),
    ...buffers('optimizer', bytes.optimizer, ['state 0 classifier.weight', 'state 0 classifier.bias']),
    ...buffers(
      'saved',
      bytes.saved,
      layers.map((layer) => `mask ${layer}_output_0`),
    ),
    ...buffers('workspace', 0.9 * bytes.workspace, ['dx features.17/conv/1/Conv_output_0', 'workspace', 'patches']),
  ].toSorted((a, b) => b.bytes - a.bytes);
  const stored = sizes(bytes.saved, TRAINED);
  return {
    ...{
      model: 'mobilenet_v2.onnx',
      scheme: `mobiletl ${TRAINED}`,
      batch: 8,
      microBatch: 4,
      threads: 2,
      budgetBytes,
      bytes,
      atPeak,
    },
    totalBytes: Object.values(bytes).reduce((a, b) => a + b, 0),
    arenaBytes: Math.round(1.05 * atPeak.reduce((sum, buffer) => sum + buffer.bytes, 0)),
    blocks: Array.from({ length: BLOCKS }, (_, block) => ({
      name: blockName(block),
      storedBytes: stored[block - (BLOCKS - TRAINED)] ?? 0,
    })),
    peakStep: 'backward MatMul features.17/conv/1/Conv',
  };
}

interface Curve {
  readonly seconds: number;
  readonly intervalMillis: number;
  readonly peakBytes: number;
  readonly arenaBytes: number;
  /** Whether control group, pressure, power, temperature and clock are there. */
  readonly measured: boolean;
}

/** Memory that rises while opening and goes up and down with each step. */
function samples(random: Random, { seconds, intervalMillis, peakBytes, arenaBytes, measured }: Curve): Sample[] {
  const count = Math.floor((1000 * seconds) / intervalMillis);
  return Array.from({ length: count }, (_, index): Sample => {
    const at = index * intervalMillis;
    const opened = Math.min(1, at / 1800);
    const rssBytes = Math.round(
      peakBytes * (0.28 + 0.66 * opened + (index === count >> 1 ? 0.06 : random.uniform(0, 0.05))),
    );
    const fileBytes = Math.round(44 * MIB * (0.6 + 0.4 * opened));
    const pageCacheBytes = measured ? Math.round(18 * MIB * opened) : null;
    return {
      ...{ at, rssBytes, fileBytes, anonymousBytes: rssBytes - fileBytes, pageCacheBytes },
      // The walk over all pages is slow; most samples do without.
      pssBytes: index % 10 === 0 ? Math.round(0.93 * rssBytes) : null,
      cgroupBytes: pageCacheBytes === null ? null : rssBytes - Math.round(0.7 * fileBytes) + pageCacheBytes,
      heapBytes: at < 300 ? null : Math.round((arenaBytes > 0 ? 11 : 7) * MIB * random.uniform(0.8, 1.2)),
      pressure: measured ? 0.04 * (1 + Math.sin(at / 7000)) : null,
      watts: measured ? 7.7 + Math.sin(at / 900) + random.uniform(-0.2, 0.2) : null,
      celsius: measured ? 41 + 14 * (1 - Math.exp(-at / 40_000)) + random.uniform(0, 1) : null,
      megahertz: measured ? 1510 - 90 * Math.floor(2 + 2 * Math.sin(at / 11_000)) : null,
    };
  });
}

function marks(seconds: number, stepMillis: number, perEpoch: number): Mark[] {
  const first = 1900;
  const steps = Math.floor((1000 * seconds - first - 900) / stepMillis);
  const list: Mark[] = [
    { at: 640, kind: 'planned', number: 0, millis: 210 },
    { at: first, kind: 'opened', number: 0, millis: 900 },
  ];
  for (let step = 1; step <= steps; step++) {
    const at = first + step * stepMillis;
    list.push({ at, kind: 'step', number: step, millis: stepMillis });
    if (step % perEpoch === 0) {
      list.push({ at, kind: 'epoch', number: step / perEpoch, millis: null });
      list.push({ at, kind: 'evaluated', number: 0, millis: 180 });
    }
  }
  const end = 1000 * seconds;
  return [
    ...list,
    { at: end - 400, kind: 'exported', number: 0, millis: 320 },
    { at: end - 60, kind: 'finished', number: 0, millis: null },
  ];
}

function steps(random: Random): StepTime[] {
  const work = (pass: StepTime['pass'], op: string, node: string, block: string, gigaflops: number): StepTime => {
    const intensity = op === 'MatMul' || op === 'prefix' ? random.uniform(8, 60) : random.uniform(0.2, 2.5);
    const rate = Math.min(90, 9 * intensity) * random.uniform(0.4, 0.95);
    const flops = gigaflops * 1e9;
    return { pass, op, node, block, millis: flops / rate / 1e6, bytes: Math.round(flops / intensity), flops };
  };
  const blocks = Array.from({ length: TRAINED }, (_, at) => blockName(BLOCKS - TRAINED + at));
  const layers: readonly (readonly [op: string, gigaflops: number])[] = [
    ['MatMul', 0.06],
    ['DepthwiseConv', 0.006],
    ['BiasActivation', 0.0015],
    ['MatMul', 0.05],
    ['Add', 0.0008],
  ];
  const passes = (pass: 'forward' | 'backward', factor: number): StepTime[] =>
    blocks.flatMap((block) =>
      layers.map(([op, gigaflops], at) => work(pass, op, `${block}/conv/${at}/${op}`, block, factor * gigaflops)),
    );
  return [
    { pass: 'prefix', op: 'prefix', node: '', block: '', millis: random.uniform(18, 24), bytes: 0, flops: 4.1e9 },
    ...passes('forward', 1),
    work('forward', 'SoftmaxCrossEntropy', 'loss', '', 0.00004),
    ...passes('backward', 2),
    { pass: 'optimizer', op: 'sgd', node: '', block: '', millis: random.uniform(0.8, 1.6), bytes: 21e6, flops: 0 },
  ];
}

const command = [
  'train',
  'mobilenet_v2.onnx',
  '--data',
  'images',
  '--blocks',
  '5',
  '--batch',
  '8',
  '--budget',
  '160MiB',
];

/** A training under cgroup v2 that fits; every quantity was measured. */
export function finishedRun(seed: number, seconds = 62, intervalMillis = 50): ProfileRecord {
  const random = new Random(seed, 1);
  const planned = plannedRun(random, 160 * MIB);
  const peakBytes = Math.round(1.021 * planned.totalBytes);
  const curve = { seconds, intervalMillis, peakBytes, arenaBytes: planned.arenaBytes, measured: true };
  const taken = samples(random, curve);
  const highest = (of: (sample: Sample) => number | null): number =>
    Math.max(...taken.map((sample) => of(sample) ?? 0));
  return {
    ...{
      format: 'edgeshift profile',
      version: 1,
      command,
      startedAt: '2026-11-21T16:20:04.120Z',
      millis: 1000 * seconds,
      machine,
      rates: { flopsPerSecond: 95e9, bytesPerSecond: 9e9, basis: 'calibrated on the device' },
    },
    limit: {
      ...{ kind: 'cgroup v2', memoryBytes: 160 * MIB, cpus: 2, cores: 2, profile: 'jetson-orin-nano-8gb@7w' },
      refused: [],
    },
    outcome: { status: 'finished', exitCode: 0, signal: null, oomKills: 0, errorText: '' },
    planned,
    peak: {
      rssBytes: highest(({ rssBytes }) => rssBytes),
      pssBytes: highest(({ pssBytes }) => pssBytes),
      cgroupBytes: highest(({ cgroupBytes }) => cgroupBytes),
      arenaBytes: planned.arenaBytes,
    },
    ...{ samples: taken, marks: marks(seconds, 380, 40), steps: steps(random) },
    energy: { source: 'INA3221 VDD_IN', joules: 7.7 * seconds, joulesPerStep: 2.93 },
    profiler: { cpuShare: 0.0113, bytes: 3.2 * MIB },
    missing: ['the control group does not count files that were cached before, such as the code of Node'],
  };
}

/** The same under a cap that is too small, where only cgroup v1 could be had. */
export function outOfMemory(seed: number): ProfileRecord {
  const record = finishedRun(seed, 2.4);
  const cap = 112 * MIB;
  return {
    ...record,
    limit: {
      ...{ kind: 'cgroup v1', memoryBytes: cap, cpus: null, cores: null, profile: null },
      refused: ['cgroup v2: /sys/fs/cgroup is mounted read-only'],
    },
    outcome: {
      ...{ status: 'out of memory', exitCode: null, signal: 'SIGKILL', oomKills: 1 },
      errorText: 'plan: 5 blocks, batch 8\nstep 1  loss 2.31',
    },
    peak: { ...record.peak, cgroupBytes: cap },
    samples: record.samples.map((sample) => ({ ...sample, cgroupBytes: Math.min(cap, sample.cgroupBytes ?? 0) })),
    marks: record.marks.filter(({ at }) => at < 2000),
    ...{ steps: [], energy: null },
    missing: ['nothing on this machine measures energy', 'the command did not tell the time of each step of the plan'],
  };
}

/** An adaptation that nothing held and of which little could be measured. */
export function adaptRun(seed: number): ProfileRecord {
  const random = new Random(seed, 2);
  const record = finishedRun(seed, 30);
  const planned = { ...plannedRun(random, Number.MAX_SAFE_INTEGER), scheme: 'ecotta 4', microBatch: 8 };
  const taken = samples(random, {
    ...{ seconds: 30, intervalMillis: 100, peakBytes: 0.94 * planned.totalBytes, arenaBytes: 0, measured: false },
  });
  return {
    ...record,
    command: ['adapt', 'model with spaces.onnx', '--source', 'http', '--method', 'ecotta'],
    machine: { ...machine, system: 'Linux 6.1.0 x64', board: null, powerMode: null, commit: null },
    rates: null,
    limit: {
      ...{ kind: 'none', memoryBytes: null, cpus: null, cores: null, profile: null },
      refused: ['cgroup v2: not writable', 'cgroup v1: not mounted', 'systemd-run: no session bus'],
    },
    outcome: { ...record.outcome, oomKills: null },
    planned,
    peak: {
      rssBytes: Math.max(...taken.map(({ rssBytes }) => rssBytes)),
      pssBytes: null,
      cgroupBytes: null,
      arenaBytes: null,
    },
    samples: taken.map((sample) => ({ ...sample, pssBytes: null })),
    ...{ steps: [], energy: null },
    missing: [
      'no control group was made',
      'nothing on this machine measures energy',
      'the command told nothing of its arena',
    ],
  };
}

/** A command that ended before it said or took anything. */
export function emptyRun(): ProfileRecord {
  return {
    ...{
      format: 'edgeshift profile',
      version: 1,
      command: ['train', 'missing.onnx'],
      startedAt: '2026-11-21T16:20:04.120Z',
    },
    millis: 41,
    machine: { ...machine, board: null, powerMode: null, commit: null, versions: {} },
    rates: null,
    limit: { kind: 'watchdog', memoryBytes: 160 * MIB, cpus: null, cores: null, profile: null, refused: [] },
    outcome: {
      status: 'failed',
      exitCode: 1,
      signal: null,
      oomKills: null,
      errorText: 'edgeshift: missing.onnx: no such file',
    },
    planned: null,
    peak: { rssBytes: 0, pssBytes: null, cgroupBytes: null, arenaBytes: null },
    ...{ samples: [], marks: [], steps: [], energy: null, profiler: null, missing: ['the command told no plan'] },
  };
}

export const hostileText = '</script><img src="http://192.0.2.1/x" onerror="window.hurt=1"><!--\u2028';

/** A record in which every text is an attack. */
export function hostileRun(seed: number): ProfileRecord {
  const kept = new Set(['format', 'status', 'kind', 'pass', 'startedAt']);
  const poison = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string') return kept.has(key) ? value : `${hostileText} ${value}`;
    if (Array.isArray(value)) return value.map((item) => poison(item, key));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, child]) => [
        key === 'versions' ? `${hostileText} ${name}` : name,
        poison(child, name),
      ]),
    );
  };
  return poison({ ...outOfMemory(seed), steps: finishedRun(seed, 5).steps }) as ProfileRecord;
}
