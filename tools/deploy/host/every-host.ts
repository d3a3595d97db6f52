/** @file The same for each of several hosts; what fails on one does not keep it from the others. */
import { EdgeshiftError } from '../../../runtime/errors.ts';
import type { Host } from './host.ts';

export interface HostValue<T> {
  readonly host: Host;
  /** Null where it failed. */
  readonly value: T | null;
  readonly error: EdgeshiftError | null;
}

/** Hosts at once. */
const AT_ONCE = 4;

/** In the order of the hosts. @throws what is no error of ours, which is a fault of the program */
export async function everyHost<T>(
  hosts: readonly Host[],
  work: (host: Host) => Promise<T>,
): Promise<readonly HostValue<T>[]> {
  const results: HostValue<T>[] = [];
  const attempt = async (host: Host): Promise<HostValue<T>> => {
    try {
      return { host, value: await work(host), error: null };
    } catch (error) {
      if (!(error instanceof EdgeshiftError)) throw error;
      return { host, value: null, error };
    }
  };
  for (let first = 0; first < hosts.length; first += AT_ONCE) {
    results.push(...(await Promise.all(hosts.slice(first, first + AT_ONCE).map(attempt))));
  }
  return results;
}
