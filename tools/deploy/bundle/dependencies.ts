/** @file Production dependencies of the target platform, installed by npm from the lock file. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExecutionError } from '../../../runtime/errors.ts';
import { type BundleFile, filesBelow } from './bundle-file.ts';
import { type Lock, type Needs, nameAt, production, reached } from './lock.ts';
import { npmCi } from './npm.ts';
import { isKept, unloaded } from './prune.ts';
import type { Target } from './target.ts';

export interface Dependencies {
  readonly files: readonly BundleFile[];
  /** Packages that are in the bundle, by their places, and what each needs. */
  readonly needs: Needs;
}

/**
 * @param folder a folder of its own, which is filled
 * @throws ExecutionError if npm fails, or installs for another platform than it was asked to
 */
export async function installDependencies(folder: string, lock: Lock, target: Target): Promise<Dependencies> {
  const needed = production(lock);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), JSON.stringify(needed.manifest));
  await writeFile(join(folder, 'package-lock.json'), JSON.stringify(needed.lock));
  await npmCi(folder, target);
  return installedFiles(folder, needed.lock, target);
}

/** What a bundle takes of an installation. @throws ExecutionError if packages of the platform are missing */
export async function installedFiles(folder: string, lock: Lock, target: Target): Promise<Dependencies> {
  const needs = reached(lock, target, unloaded);
  const places = [...needs.keys()].filter((place) => place !== '');
  const all = await filesBelow(join(folder, 'node_modules'));
  const files = all
    .map((path) => `node_modules/${path}`)
    .flatMap((path): BundleFile[] => {
      const place = placeOf(path);
      if (place === '' || !needs.has(place) || !isKept(nameAt(place), path.slice(place.length + 1), target)) return [];
      return [{ path: `app/${path}`, mode: '644', content: join(folder, path) }];
    });
  const missing = places.filter((place) => !files.some(({ path }) => path.startsWith(`app/${place}/`)));
  if (missing.length === 0) return { files, needs };
  throw new ExecutionError(
    `npm did not install ${missing.join(', ')} for ${target.name}\nHint: npm 10.2 and later know --os, --cpu and --libc`,
    { missing },
  );
}

/** The package that a file below node_modules belongs to; `''` for files of npm's own. */
function placeOf(path: string): string {
  const [place = ''] = /^(.*\/)?node_modules\/(@[^/]+\/)?[^@./][^/]*(?=\/)/.exec(path) ?? [];
  return place;
}
