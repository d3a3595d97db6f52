/** @file The commit that a measurement was made with. */
import { execFileSync } from 'node:child_process';

/** Short hash, with `+` if the working tree differs from it; null outside of a repository. */
export function commitOf(folder: string): string | null {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return null;
  }
}
