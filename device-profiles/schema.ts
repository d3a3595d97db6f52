/**
 * @file What a device profile is: the zod schema, its type, and the reader that turns faults into a ProfileError.
 */

import { z } from 'zod';
import { ProfileError } from '../runtime/errors.ts';

/**
 * One quantity with its origin; the unit is the end of the field's name.
 *
 * `source` is a key of the profile's `sources`, optionally followed by a colon and a note (a formula, a doubt).
 */
const figure = z.strictObject({
  value: z.number().positive(),
  kind: z.enum(['measured', 'vendor', 'computed']),
  source: z.string().min(1),
});

/** A quantity that counts things. */
const count = figure.extend({ value: z.int().positive() });

const schema = z
  .strictObject({
    /** File name without `.json`; what `--device` takes. The power mode follows an @, unless it is the usual one. */
    name: z
      .string()
      .regex(/^[a-z0-9-]+(@[a-z0-9_-]+)?$/, 'expected lower-case letters, digits and dashes, perhaps @ and a mode'),
    title: z.string().min(1),
    /** Ids by which the board calls itself (module part numbers, device-tree compatible strings). */
    modules: z.array(z.string().min(1)),
    /** Cores, clocks and bandwidth below hold in this mode only. */
    powerMode: z.strictObject({
      name: z.string().min(1),
      /** The number that nvpmodel uses. */
      id: z.int().nonnegative().optional(),
      watts: figure.optional(),
    }),
    cpu: z.strictObject({
      model: z.string().min(1),
      /** As Node names it: `arm64`, `x64`. */
      architecture: z.string().min(1),
      cores: count,
      clockMegahertz: figure.optional(),
    }),
    memoryTotalBytes: count,
    /** What Linux sees: the total without what firmware and kernel keep. */
    memoryUsableBytes: count.optional(),
    memoryBandwidthBytesPerSecond: figure.optional(),
    /** Peak of float32 over all cores. */
    cpuFlopsPerSecond: figure.optional(),
    /** What this project's own engine reaches, as `edgeshift devices calibrate` measures it (calibrate.ts). */
    rates: z
      .strictObject({
        /** Matrix products of onnxruntime, all threads. */
        gemmFlopsPerSecond: figure,
        /** The SIMD kernels, one thread: bytes read plus bytes written. */
        simdBytesPerSecond: figure,
        /** A plain copy larger than the caches, one thread: bytes read plus bytes written. */
        copyBytesPerSecond: figure,
      })
      .optional(),
    gpu: z
      .strictObject({
        model: z.string().min(1),
        cores: count.optional(),
        clockMegahertz: figure.optional(),
        /** Peak of float32, no tensor cores. */
        flopsPerSecond: figure.optional(),
        computeCapability: z.string().optional(),
      })
      .optional(),
    limits: z.strictObject({
      /** Offered to training when the user names no budget. */
      memoryBytes: count,
      threads: count,
      batch: count.optional(),
    }),
    sources: z.record(z.string(), z.string().min(1)),
  })
  .superRefine((profile, context) => {
    for (const [path, source] of sourcesOf(profile)) {
      const key = source.split(':')[0] ?? '';
      if (!Object.hasOwn(profile.sources, key)) {
        context.addIssue({
          code: 'custom',
          path,
          message: `expected a key of "sources" (${Object.keys(profile.sources).join(', ')}) but got "${key}"`,
        });
      }
    }
    const { memoryTotalBytes: total, memoryUsableBytes: usable, limits } = profile;
    if (usable !== undefined && usable.value > total.value) {
      context.addIssue({ code: 'custom', path: ['memoryUsableBytes'], message: 'expected at most memoryTotalBytes' });
    }
    if (limits.memoryBytes.value > (usable ?? total).value) {
      const message = `expected at most ${usable ? 'memoryUsableBytes' : 'memoryTotalBytes'}`;
      context.addIssue({ code: 'custom', path: ['limits', 'memoryBytes'], message });
    }
  });

/** A board in one power mode, as far as the planner needs to know it. */
export type DeviceProfile = z.infer<typeof schema>;

/** A quantity with its origin: `value` in the unit of the field's name. */
export type Figure = z.infer<typeof figure>;

/**
 * Reads a profile from JSON text.
 *
 * @param file Where the text came from; it stands in the error.
 * @throws ProfileError with every fault at once: which field, what was expected.
 */
export function parseProfile(text: string, file: string): DeviceProfile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ProfileError(
      `${file}: expected JSON but ${cause instanceof Error ? cause.message : String(cause)}`,
      { file },
      { cause },
    );
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) => ({ field: path.join('.') || '(whole file)', message }));
  const lines = faults.map(({ field, message }) => `  ${field}: ${message}`);
  throw new ProfileError(
    `${file}: not a device profile, ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}\n${lines.join('\n')}\n` +
      'Hint: compare it with the profiles in device-profiles/ and their README.',
    { file, faults },
  );
}

/** Every `source` of a figure in the profile, with its path. */
function sourcesOf(value: unknown, path: string[] = []): [string[], string][] {
  if (typeof value !== 'object' || value === null || path[0] === 'sources') return [];
  return Object.entries(value).flatMap(([key, child]): [string[], string][] =>
    key === 'source' && typeof child === 'string' ? [[[...path, key], child]] : sourcesOf(child, [...path, key]),
  );
}
