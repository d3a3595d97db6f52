/** @file Which modules the command line loads, as a loader hook in its own process sees it. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const dist = new URL('../../', import.meta.url);
export const mainModule = fileURLToPath(new URL('tools/cli/main.js', dist));
const hook = pathToFileURL(fileURLToPath(new URL('./module-log.js', import.meta.url)));
const registration = `import { register } from 'node:module'; register(${JSON.stringify(hook.href)});`;

export interface LoadedModules {
  readonly code: number | null;
  readonly stderr: string;
  /** Names of packages, sorted. */
  readonly packages: readonly string[];
  /** Our own modules, by their path below dist/. */
  readonly own: ReadonlySet<string>;
}

/**
 * Runs the command line; threads count too, processes that it starts do not.
 * @param log file for the hook to write, which must not exist yet
 */
export function loadedModules(args: readonly string[], log: string): LoadedModules {
  const flags = ['--import', `data:text/javascript,${encodeURIComponent(registration)}`];
  const { status, stderr } = spawnSync(process.execPath, [...flags, mainModule, ...args], {
    encoding: 'utf8',
    env: { ...process.env, EDGESHIFT_MODULE_LOG: log },
  });
  const urls = readFileSync(log, 'utf8').trim().split('\n');
  const packages = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []);
  const own = urls.flatMap((url) => (url.startsWith(dist.href) ? [url.slice(dist.href.length)] : []));
  return { code: status, stderr, packages: [...new Set(packages)].sort(), own: new Set(own) };
}
