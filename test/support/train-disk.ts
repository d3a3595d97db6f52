/** @file A small disk that a test can fill. */
import { spawnSync } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';

export interface SmallDisk {
  readonly path: string;
  unmount(): void;
}

/** Mounts a tmpfs of a size such as `512k` in `folder`; null where that is not allowed. */
export async function mountSmallDisk(folder: string, size: string): Promise<SmallDisk | null> {
  const path = await mkdtemp(join(folder, 'disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
  return status === 0 ? { path, unmount: () => spawnSync('umount', ['-l', path]) } : null;
}
