/** @file The lock file: what production needs of it, and what of that a platform reaches. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../../runtime/errors.ts';
import type { Target } from './target.ts';

/** A package of a lock file (version 3), by where it lies; only what is read of it. */
export interface LockedPackage {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly libc?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export interface Lock {
  readonly name: string;
  readonly version: string;
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/**
 * The lock file of a checkout, or the copy that a published package has beside its compiled code.
 * @param root folder of the package
 * @throws DataError if there is none, or it is of another version
 */
export async function readLock(root: string): Promise<Lock> {
  const places = [join(root, 'package-lock.json'), join(root, 'dist', 'tools', 'deploy', 'lock.json')];
  const path = places.find((place) => existsSync(place));
  if (path === undefined) {
    throw new DataError(`no lock file of the runtime: expected one of ${places.join(', ')}`, { places });
  }
  const lock = JSON.parse(await readFile(path, 'utf8')) as Lock;
  if (lock.lockfileVersion === 3) return lock;
  throw new DataError(`"${path}": expected lockfileVersion 3, found ${lock.lockfileVersion}`, { path });
}

/** The lock and the package.json of an installation that has nothing but what runs. */
export function production(lock: Lock): { readonly lock: Lock; readonly manifest: LockedPackage } {
  const { devDependencies: _, peerDependencies: __, ...root } = lock.packages[''] ?? {};
  const manifest = Object.fromEntries(
    Object.entries(root).filter(([key]) => ['name', 'version', 'dependencies', 'optionalDependencies'].includes(key)),
  );
  const kept = Object.entries(lock.packages).filter(([path, { dev }]) => path !== '' && dev !== true);
  return { lock: { ...lock, packages: { '': manifest, ...Object.fromEntries(kept) } }, manifest };
}

/** Packages that another one asks for, but nothing loads once it is installed: by name. */
export type Unloaded = Readonly<Record<string, readonly string[]>>;

/** What a package needs of others, by their places; `''` is the runtime itself. */
export type Needs = ReadonlyMap<string, readonly string[]>;

/** The packages that are reached on a platform, each with the places of those it needs, sorted. */
export function reached(lock: Lock, target: Pick<Target, 'os' | 'cpu' | 'libc'>, unloaded: Unloaded): Needs {
  const needs = new Map<string, readonly string[]>();
  const visit = (place: string): void => {
    if (needs.has(place)) return;
    const { dependencies = {}, optionalDependencies = {} } = lock.packages[place] ?? {};
    const skipped = unloaded[nameAt(place)] ?? [];
    const wanted = Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !skipped.includes(name));
    const places = wanted.flatMap((name) => {
      const found = resolve(lock, place, name);
      return found !== null && suits(lock.packages[found] ?? {}, target) ? [found] : [];
    });
    needs.set(place, [...new Set(places)].sort());
    places.forEach(visit);
  };
  visit('');
  return needs;
}

/** Name of the package that lies at a place such as `node_modules/a/node_modules/@b/c`. */
export const nameAt = (place: string): string => place.split('node_modules/').at(-1) ?? '';

/** As Node looks for it: beside, then further up; null if it is an optional one that was never locked. */
function resolve(lock: Lock, from: string, name: string): string | null {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/') - 1))) {
    const place = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    if (place in lock.packages) return place;
    if (folder === '') return null;
  }
}

function suits({ os, cpu, libc }: LockedPackage, target: Pick<Target, 'os' | 'cpu' | 'libc'>): boolean {
  const allows = (list: readonly string[] | undefined, value: string): boolean =>
    list === undefined || list.includes(value) || (list[0]?.startsWith('!') === true && !list.includes(`!${value}`));
  return allows(os, target.os) && allows(cpu, target.cpu) && allows(libc, target.libc);
}
