/** @file Runs the compiled command line in a process of its own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';

/** The package's cache, seen from the compiled file in dist/test/support. */
export const modelCache = fileURLToPath(new URL('../../../.cache/models', import.meta.url));

const main = fileURLToPath(new URL('../../tools/cli/main.js', import.meta.url));

export interface CliResult {
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** Called with all of stderr so far, whenever there is more, to decide when to send a signal. */
  readonly onStderr?: (text: string, child: ChildProcessByStdio<null, Readable, Readable>) => void;
  readonly cwd?: string;
}

export function edgeshift(args: readonly string[], { onStderr, cwd }: CliOptions = {}): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--max-semi-space-size=1', main, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd !== undefined && { cwd }),
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      onStderr?.(stderr, child);
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}

/** The JSON of stdout's last line. */
export function lastJson({ stdout, stderr }: CliResult): Record<string, unknown> {
  const line = stdout.trimEnd().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    throw new Error(`no JSON on the last line of stdout: ${JSON.stringify(line)}\n${stderr}`);
  }
}

/** A device that is the same on every machine. */
export const device = ['--device', 'jetson-nano-4gb'] as const;

let refusals = 0;

/** Trains what must fail: checks code and message, that the JSON says the same, and that no run folder is left. */
export async function refusesToTrain(
  t: ExecutionContext,
  root: string,
  args: readonly string[],
  code: number,
  message: RegExp,
): Promise<Record<string, unknown>> {
  const run = join(root, `refused-${refusals++}`);
  const result = await edgeshift(['train', ...args, '--run', run, '--json']);
  t.is(result.code, code, result.stderr);
  t.regex(result.stderr, message);
  t.notRegex(result.stderr, /\n\s+at /, 'no stack: it is not a fault of the program');
  const error = lastJson(result).error as Record<string, unknown>;
  t.true(result.stderr.includes(error.message as string));
  await t.throwsAsync(readdir(run), { code: 'ENOENT' }, 'the run folder is gone');
  return error;
}
