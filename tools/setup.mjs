/**
 * @file A fresh clone's set-up: `npm ci` where node_modules is missing or older than the lock file. Plain JavaScript, because
 * it runs before anything is installed.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

export function ensureInstalled() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  // npm would empty the folder behind the link, which is somebody else's.
  if (lstatSync(join(root, 'node_modules'), { throwIfNoEntry: false })?.isSymbolicLink()) {
    console.error('node_modules is a link and older than package-lock.json: using it as it is');
    return;
  }
  console.error('installing dependencies (npm ci) ...');
  const stdio = ['ignore', process.stderr, process.stderr];
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: root, stdio });
}
