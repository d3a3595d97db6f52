/** @file The platforms a bundle can be built for. */
import { UsageError } from '../../../runtime/errors.ts';

export type TargetName = 'linux-arm64' | 'linux-x64';

export interface Target {
  readonly name: TargetName;
  readonly os: 'linux';
  /** As Node, npm and device profiles name it. */
  readonly cpu: 'arm64' | 'x64';
  readonly libc: 'glibc';
}

const targets: readonly Target[] = [
  { name: 'linux-arm64', os: 'linux', cpu: 'arm64', libc: 'glibc' },
  { name: 'linux-x64', os: 'linux', cpu: 'x64', libc: 'glibc' },
];

/** @throws UsageError */
export function targetNamed(name: string): Target {
  const found = targets.find((target) => target.name === name);
  if (found !== undefined) return found;
  const known = targets.map((target) => target.name);
  throw new UsageError(`--target must be one of ${known.join(', ')}: ${JSON.stringify(name)}`, { target: name, known });
}
