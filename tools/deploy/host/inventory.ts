/** @file The file that lists a fleet: JSON, an array of hosts. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { DataError, UsageError } from '../../../runtime/errors.ts';
import { type Host, hostOf } from './host.ts';

const inventorySchema = z
  .array(
    z.strictObject({
      host: z.string(),
      port: z.int().optional(),
      root: z.string().optional(),
      labels: z.array(z.string()).optional(),
    }),
  )
  .min(1, 'expected at least one host');

/**
 * @param labels takes only hosts that have one of them; none: all hosts
 * @throws DataError if the file cannot be read or is no inventory
 * @throws UsageError for a host that is none, the same board twice, or labels that nobody has
 */
export async function readInventory(path: string, labels: readonly string[] = []): Promise<readonly Host[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new DataError(`cannot read the inventory "${path}": ${(cause as Error).message}`, { path }, { cause });
  });
  const hosts = parsed(path, text).map(({ host, ...options }) => hostOf(host, definite(options)));
  const seen = new Set<string>();
  for (const { name, root } of hosts) {
    const key = `${name} ${root}`;
    if (seen.has(key)) throw new UsageError(`"${path}" names ${name} with folder ${root} twice`, { path, host: name });
    seen.add(key);
  }
  const chosen =
    labels.length === 0 ? hosts : hosts.filter((host) => labels.some((label) => host.labels.includes(label)));
  if (chosen.length > 0) return chosen;
  const known = [...new Set(hosts.flatMap((host) => host.labels))];
  throw new UsageError(
    `no host of "${path}" is labelled ${labels.join(' or ')}: there are ${known.join(', ') || 'none'}`,
  );
}

function parsed(path: string, text: string): z.infer<typeof inventorySchema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`"${path}" is no JSON: ${(cause as Error).message}`, { path }, { cause });
  }
  const result = inventorySchema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path: where, message }) => `  ${where.join('.') || 'file'}: ${message}`);
  throw new DataError(
    `"${path}" is no inventory:\n${problems.join('\n')}\n` +
      'Hint: [{"host": "user@board", "port": 22, "root": "edgeshift", "labels": ["shelf"]}]; only host is needed',
    { path },
  );
}

const definite = <T extends object>(values: T) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
