/** @file Runs npm, with none of what an npm around this process told it. */
import { execFile } from 'node:child_process';
import { ExecutionError } from '../../../runtime/errors.ts';

/** How much of what npm says an error repeats, in characters. */
const SAID = 1500;

/** Without a network npm would wait for minutes before it says so. */
const patience = ['--fetch-retries=2', '--fetch-retry-mintimeout=500', '--fetch-retry-maxtimeout=5000'];

/**
 * Standard output of an npm command.
 * @throws ExecutionError with what npm said
 */
export function npm(folder: string, args: readonly string[]): Promise<string> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle)_/.test(name)),
  );
  return new Promise((resolve, reject) => {
    execFile('npm', [...args, ...patience], { cwd: folder, env, maxBuffer: 2 ** 26 }, (cause, stdout, stderr) => {
      if (cause === null) return resolve(stdout);
      const said = (stderr.trim() || cause.message).slice(-SAID);
      const message = `npm ${args.join(' ')} failed in "${folder}":\n${said}`;
      reject(new ExecutionError(message, { args, exitCode: cause.code ?? null }, { cause }));
    });
  });
}

/** Installs what the lock file in the folder says and nothing else, for a platform that need not be this one. */
export async function npmCi(folder: string, { os, cpu, libc }: Readonly<Record<'os' | 'cpu' | 'libc', string>>) {
  await npm(folder, [
    ...['ci', '--omit=dev', '--include=optional', '--ignore-scripts', `--os=${os}`, `--cpu=${cpu}`, `--libc=${libc}`],
    ...['--no-bin-links', '--no-audit', '--no-fund', '--prefer-offline'],
  ]);
}
