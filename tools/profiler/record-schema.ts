/** @file Reads a profile record back from JSON: the zod schema, and a reader that names file and field of every fault. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataError } from '../../runtime/errors.ts';
import type { PlannedRun, ProfileRecord, StepTime } from './record.ts';

/** Faults that an error lists. */
const FAULTS = 10;

export const bytes = z.number().nonnegative();
export const millis = z.number().nonnegative();
const count = z.int().nonnegative();
const positive = z.int().positive();
const text = z.string();
const nullable = {
  bytes: bytes.nullable(),
  count: count.nullable(),
  text: text.nullable(),
  number: z.number().nullable(),
};

const machine = z.strictObject({
  system: text,
  processor: text,
  cores: count,
  memoryBytes: bytes,
  board: nullable.text,
  powerMode: nullable.text,
  commit: nullable.text,
  versions: z.record(z.string(), text),
});

const rates = z.strictObject({
  flopsPerSecond: z.number().positive(),
  bytesPerSecond: z.number().positive(),
  basis: text,
});

const limit = z.strictObject({
  kind: z.enum(['cgroup v2', 'cgroup v1', 'systemd scope', 'watchdog', 'none']),
  memoryBytes: nullable.bytes,
  cpus: z.number().positive().nullable(),
  cores: nullable.count,
  profile: nullable.text,
  refused: z.array(text),
});

const outcome = z.strictObject({
  status: z.enum(['finished', 'failed', 'out of memory', 'interrupted']),
  exitCode: z.int().nullable(),
  signal: nullable.text,
  oomKills: nullable.count,
  errorText: text,
});

const plannedBytes = z.strictObject({
  frozenWeights: bytes,
  trainableWeights: bytes,
  gradients: bytes,
  optimizer: bytes,
  saved: bytes,
  workspace: bytes,
  prefixPeak: bytes,
  base: bytes,
  loading: bytes,
  adaptation: bytes,
  export: bytes,
});

export const planned = z.strictObject({
  model: text,
  scheme: text,
  batch: positive,
  microBatch: positive,
  threads: positive,
  budgetBytes: bytes,
  totalBytes: bytes,
  bytes: plannedBytes,
  arenaBytes: bytes,
  blocks: z.array(z.strictObject({ name: text, storedBytes: bytes })),
  atPeak: z.array(z.strictObject({ name: text, category: text, bytes })),
  peakStep: text,
}) satisfies z.ZodType<PlannedRun>;

const peak = z.strictObject({
  rssBytes: bytes,
  pssBytes: nullable.bytes,
  cgroupBytes: nullable.bytes,
  arenaBytes: nullable.bytes,
});

const sample = z.strictObject({
  at: millis,
  rssBytes: bytes,
  anonymousBytes: bytes,
  fileBytes: bytes,
  pssBytes: nullable.bytes,
  cgroupBytes: nullable.bytes,
  pageCacheBytes: nullable.bytes,
  heapBytes: nullable.bytes,
  pressure: z.number().min(0).max(1).nullable(),
  watts: nullable.number,
  celsius: nullable.number,
  megahertz: nullable.number,
});

export const markKind = z.enum([
  ...(['planned', 'opened', 'step', 'epoch', 'evaluated', 'exported', 'finished'] as const),
  ...(['shrunk', 'paused', 'resumed', 'grown'] as const),
]);

const mark = z.strictObject({
  at: millis,
  kind: markKind,
  number: count,
  millis: millis.nullable(),
});

export const step = z.strictObject({
  pass: z.enum(['prefix', 'forward', 'backward', 'optimizer']),
  op: text,
  node: text,
  block: text,
  millis,
  bytes,
  flops: z.number().nonnegative(),
}) satisfies z.ZodType<StepTime>;

const energy = z.strictObject({
  source: text,
  joules: z.number().nonnegative(),
  joulesPerStep: z.number().nonnegative().nullable(),
});

const profiler = z.strictObject({ cpuShare: z.number().nonnegative(), bytes });

const schema: z.ZodType<ProfileRecord> = z.strictObject({
  format: z.literal('edgeshift profile'),
  version: z.literal(1),
  command: z.array(text),
  startedAt: z.iso.datetime({ offset: true }),
  millis,
  machine,
  rates: rates.nullable(),
  limit,
  outcome,
  planned: planned.nullable(),
  peak,
  samples: z.array(sample).superRefine(inOrder),
  marks: z.array(mark).superRefine(inOrder),
  steps: z.array(step),
  energy: energy.nullable(),
  profiler: profiler.nullable(),
  missing: z.array(text),
});

/** Each no earlier than the one before it. */
function inOrder(moments: readonly { readonly at: number }[], context: z.RefinementCtx): void {
  const place = moments.findIndex(({ at }, index) => index > 0 && at < (moments[index - 1]?.at ?? 0));
  if (place < 0) return;
  const [before, at] = [moments[place - 1]?.at, moments[place]?.at];
  const message = `expected the order of time, but ${at} follows ${before}`;
  context.addIssue({ code: 'custom', path: [place, 'at'], message });
}

/**
 * Reads a record from JSON text.
 * @param file where the text came from; it stands in the error
 * @throws DataError that names the file, and the field of each fault with what was expected
 */
export function parseRecord(json: string, file: string): ProfileRecord {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${file}: expected JSON but ${reason}`, { file }, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => ({
    field: issue.path.join('.') || '(whole file)',
    message: issue.message,
  }));
  const lines = faults.slice(0, FAULTS).map(({ field, message }) => `  ${field}: ${message}`);
  if (faults.length > FAULTS) lines.push(`  and ${faults.length - FAULTS} more`);
  throw new DataError(
    `${file}: not a profile record of version 1, ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}\n` +
      `${lines.join('\n')}\nHint: \`edgeshift profile\` writes them.`,
    { file, faults },
  );
}

/** @throws DataError if the file cannot be read or is no record */
export async function readRecord(path: string): Promise<ProfileRecord> {
  let json: string;
  try {
    json = await readFile(path, 'utf8');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${path}: cannot read the profile record (${reason})`, { file: path }, { cause });
  }
  return parseRecord(json, path);
}
