/**
 * @file Builds dist/: TypeScript with tsc, the SIMD kernels with AssemblyScript. Plain JavaScript, because it runs before
 * anything is built. Builds only what is older than its sources; `--force` builds all.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const sources = ['runtime', 'kernels', 'models', 'device-profiles', 'tools', 'test'];
const stamp = join(root, 'dist', '.built');
const wasm = join(root, 'dist', 'kernels', 'simd');
const shared = ['--sharedMemory', '--maximumMemory', '65536'];
/** The same kernels, for a memory of one thread and for one that threads share, with fused multiply-adds and without. */
const wasmFiles = {
  'simd.wasm': ['--enable', 'simd'],
  'simd-relaxed.wasm': ['--enable', 'simd,relaxed-simd'],
  'simd-shared.wasm': ['--enable', 'simd,threads', ...shared],
  'simd-shared-relaxed.wasm': ['--enable', 'simd,threads,relaxed-simd', ...shared],
};
const built = [stamp, ...Object.keys(wasmFiles).map((name) => join(wasm, name))];

/** Time of the newest file that the build reads, in milliseconds. */
function newest(folder) {
  return readdirSync(folder, { withFileTypes: true }).reduce((latest, entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return Math.max(latest, newest(path));
    return /\.(ts|json)$/.test(entry.name) ? Math.max(latest, statSync(path).mtimeMs) : latest;
  }, 0);
}

/** Runs a tool of node_modules with Node itself; its output goes to stderr, so that a command's stdout stays its own. */
function run(script, args) {
  execFileSync(process.execPath, [join(root, 'node_modules', script), ...args], {
    cwd: root,
    stdio: ['ignore', process.stderr, process.stderr],
  });
}

/** Builds what is out of date; false if a compiler refused (it has said why). */
export function build({ force = false } = {}) {
  const sourceTime = Math.max(
    ...sources.map((folder) => newest(join(root, folder))),
    ...['tsconfig.json', 'package-lock.json'].map((name) => statSync(join(root, name)).mtimeMs),
  );
  if (!force && built.every((file) => existsSync(file)) && statSync(stamp).mtimeMs > sourceTime) return true;
  try {
    run('typescript/bin/tsc', ['-p', '.']);
    // A published package has no lock file of its own, and bundles for boards are installed from one.
    mkdirSync(join(root, 'dist', 'tools', 'deploy'), { recursive: true });
    copyFileSync(join(root, 'package-lock.json'), join(root, 'dist', 'tools', 'deploy', 'lock.json'));
    const assembly = join(root, 'kernels', 'simd', 'assembly');
    mkdirSync(wasm, { recursive: true });
    for (const [name, features] of Object.entries(wasmFiles)) {
      const file = join(wasm, name);
      if (!force && existsSync(file) && statSync(file).mtimeMs > newest(assembly)) continue;
      const flags = ['-O3', '--noAssert', '--runtime', 'stub', '--importMemory', ...features];
      run('assemblyscript/bin/asc.js', ['kernels/simd/assembly/index.ts', '-o', file, ...flags]);
    }
  } catch {
    return false;
  }
  writeFileSync(stamp, '');
  return true;
}

if (process.argv[1] === fileURLToPath(import.meta.url) && !build({ force: process.argv.includes('--force') })) {
  process.exitCode = 1;
}
