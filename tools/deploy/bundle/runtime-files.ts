/** @file The part of a bundle that is the same for every model: the runtime, its dependencies, and Node where it is asked for. */
import { join } from 'node:path';
import { appFiles, packageRoot } from './app-files.ts';
import { type BundleFile, bytesOf, textFile } from './bundle-file.ts';
import { installDependencies } from './dependencies.ts';
import { newestGlibc, versionsNeeded } from './elf.ts';
import { production, readLock } from './lock.ts';
import { installNode, NODE_VERSION, nodePackage } from './node-binary.ts';
import { sbom } from './sbom.ts';
import type { Target } from './target.ts';

export interface RuntimeFiles {
  readonly files: readonly BundleFile[];
  readonly version: string;
  /** Version of Node among the files; null: none is. */
  readonly node: string | null;
}

/**
 * @param scratch a folder of its own, which is filled and whose files the result refers to
 * @throws DataError without a lock file, ExecutionError if npm fails
 */
export async function runtimeFiles(scratch: string, target: Target, withNode: boolean): Promise<RuntimeFiles> {
  const { lock, manifest } = production(await readLock(packageRoot));
  const app = await appFiles(packageRoot, manifest);
  const { files, needs } = await installDependencies(join(scratch, 'app'), lock, target);
  const node = withNode ? await installNode(join(scratch, 'node'), target) : [];
  const list = textFile('sbom.json', sbom(lock, needs, withNode ? [nodePackage(target)] : []));
  return { files: [...app, ...files, ...node, list], version: lock.version, node: withNode ? NODE_VERSION : null };
}

const NATIVE = /\.node$|\.so(\.[\d.]+)?$|^node\/bin\/node$/;

/** The glibc that a board must have at least, such as `2.28`; null if nothing native is among the files. */
export async function glibcNeeded(files: readonly BundleFile[]): Promise<string | null> {
  const versions: string[] = [];
  for (const file of files) if (NATIVE.test(file.path)) versions.push(...versionsNeeded(await bytesOf(file)));
  return newestGlibc(versions);
}
