/**
 * @file What multiplies matrices on this machine, where nobody says it. A library that crashes while it is loaded takes its process
 * along, so onnxruntime is tried in a child, wherever it is not known to work, and the answer is remembered.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeAtomically } from '../../runtime/delta/atomic-file.ts';
import type { ProductsName } from '../../runtime/plan/plan.ts';

export interface ProductsChoice {
  readonly products: ProductsName;
  /** Why it is not onnxruntime; null if it is. */
  readonly reason: string | null;
}

/** Where the choice may look, and what it tries; defaults are this machine's. */
export interface ChoiceOptions {
  /** File that the answer is remembered in. */
  readonly cache?: string;
  /** Script that ends with code 0 if onnxruntime works. */
  readonly probe?: string;
  /** Whether onnxruntime is known to load here; default: where it was run in development. */
  readonly known?: boolean;
}

/** What an answer holds for: another Node, package or kernel may give another one. */
interface Facts {
  readonly onnxruntime: string;
  readonly node: string;
  readonly arch: string;
  readonly kernel: string;
}

const script = fileURLToPath(new URL('./probe-onnxruntime.js', import.meta.url));

/** Seconds after which a probe that does not answer is taken for broken: the first load from a slow card takes some. */
const PROBE_SECONDS = 60;

/** How much of what a probe says is repeated, in characters. */
const SAID = 200;

/** onnxruntime if it works here. */
export async function chooseProducts(options: ChoiceOptions = {}): Promise<ProductsChoice> {
  const version = packageVersion();
  if (version === null) return { products: 'simd', reason: 'it is not installed' };
  if (options.known ?? isKnownPlatform()) return { products: 'onnxruntime', reason: null };
  const cache = options.cache ?? join(cacheFolder(), 'products.json');
  const { node } = process.versions;
  const facts: Facts = { onnxruntime: version, node, arch: process.arch, kernel: release() };
  const known = await remembered(cache, facts);
  if (known) return known;
  const { reason, isLasting } = await probed(options.probe ?? script);
  const choice: ProductsChoice = { products: reason === null ? 'onnxruntime' : 'simd', reason };
  if (isLasting) await remember(cache, facts, choice);
  return choice;
}

/** Version of onnxruntime-node; null where it is not installed. */
function packageVersion(): string | null {
  try {
    const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
    return version;
  } catch {
    return null;
  }
}

/** The package has a library for x64 Linux with glibc, whose loader has this path; every test runs there. */
function isKnownPlatform(): boolean {
  return process.platform === 'linux' && process.arch === 'x64' && existsSync('/lib64/ld-linux-x86-64.so.2');
}

/** A service's own folder (systemd's CacheDirectory=), else the user's. */
function cacheFolder(): string {
  const [service = ''] = (process.env.CACHE_DIRECTORY ?? '').split(':');
  if (service !== '') return service;
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'edgeshift');
}

async function remembered(cache: string, facts: Facts): Promise<ProductsChoice | null> {
  try {
    const {
      facts: of,
      products,
      reason,
    } = JSON.parse(await readFile(cache, 'utf8')) as ProductsChoice & {
      readonly facts: Facts;
    };
    const same = JSON.stringify(of) === JSON.stringify(facts);
    if (!same || (products === 'onnxruntime') !== (reason === null)) return null;
    return products === 'onnxruntime' || products === 'simd' ? { products, reason } : null;
  } catch {
    return null;
  }
}

async function remember(cache: string, facts: Facts, choice: ProductsChoice): Promise<void> {
  try {
    await mkdir(dirname(cache), { recursive: true });
    await writeAtomically(cache, [Buffer.from(`${JSON.stringify({ facts, ...choice }, null, 1)}\n`)]);
  } catch {
    // Where nothing can be written the next start tries again.
  }
}

interface Probed {
  /** Why it does not work; null: it does. */
  readonly reason: string | null;
  /** Whether it would be the same another time. */
  readonly isLasting: boolean;
}

/** What the probe died of; null if it did its work. */
function probed(probe: string): Promise<Probed> {
  const options = { timeout: 1000 * PROBE_SECONDS, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(process.execPath, [probe], options, (error, _, stderr) => {
      if (!error) return resolve({ reason: null, isLasting: true });
      // A machine that was busy, or short of memory.
      if (error.killed) return resolve({ reason: `it did not load within ${PROBE_SECONDS} s`, isLasting: false });
      if (error.signal) {
        return resolve({ reason: `it crashed with ${error.signal}`, isLasting: error.signal !== 'SIGKILL' });
      }
      const lines = stderr.replace(/[^\x20-\x7e\n]+/g, ' ').split('\n');
      const said = lines.find((line) => line.includes('Error')) ?? lines[0] ?? '';
      resolve({ reason: said.trim().slice(0, SAID) || error.message, isLasting: true });
    });
  });
}
