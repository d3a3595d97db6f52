/** @file Fresh processes under the environment and Node flags that `npm run edgeshift` has, which its memory depends on. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './places.ts';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Added to this process's environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** Takes the command of the package's script `edgeshift` apart: `NAME=value ... node --flag ... script`. */
async function edgeshiftScript(): Promise<{ env: Record<string, string>; flags: string[]; script: string }> {
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const words = (scripts.edgeshift ?? '').split(/\s+/);
  const node = words.indexOf('node');
  const script = words.at(-1);
  if (node < 0 || script === undefined)
    throw new Error(`package.json: the script "edgeshift" does not run node: ${words.join(' ')}`);
  const env = Object.fromEntries(words.slice(0, node).map((word) => word.split('=', 2) as [string, string]));
  return { env, flags: words.slice(node + 1, -1), script };
}

/** The command line in a process of its own, as `npm run edgeshift` starts it. */
export async function commandLine(args: readonly string[]): Promise<Command> {
  const { env, flags, script } = await edgeshiftScript();
  return { file: process.execPath, args: [...flags, join(root, script), ...args], env };
}

/** A compiled program with the command line's environment and flags. */
export async function nodeProgram(path: string, args: readonly string[]): Promise<Command> {
  const { env, flags } = await edgeshiftScript();
  return { file: process.execPath, args: [...flags, path, ...args], env };
}

export function start({ file, args, env }: Command, stdio: StdioOptions): ChildProcess {
  return spawn(file, args, { cwd: root, env: { ...process.env, ...env }, stdio });
}

/** Runs to the end; the last line of stdout is the JSON result, stderr is shown only if it failed. */
export async function runJson<T>(command: Command): Promise<T> {
  return (await runToEnd<T>(command, [0])).said;
}

/** The same, for a command that has something to say with other exit codes, too. @throws Error for any other code */
export async function runToEnd<T>(
  command: Command,
  codes: readonly number[],
): Promise<{ readonly code: number; readonly said: T }> {
  const child = start(command, ['ignore', 'pipe', 'pipe']);
  let [out, err] = ['', ''];
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    err = `${err}${chunk}`.slice(-4000);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== null && codes.includes(code))
    return { code, said: JSON.parse(out.trim().split('\n').at(-1) ?? '') as T };
  throw new Error(`${command.args.join(' ')} ended with code ${code}:\n${err}`);
}
