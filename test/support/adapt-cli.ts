/** @file `edgeshift adapt` as a process, with its lines as they come. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Prediction } from '../../runtime/adapt/streams/prediction-lines.ts';
import { mainModule } from './loaded-modules.ts';
import { noiseImage } from './noise-images.ts';

export interface AdaptEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lines: readonly Prediction[];
  readonly stderr: string;
}

export interface Adapting {
  readonly child: ChildProcessWithoutNullStreams;
  /** Resolves with all of stderr so far as soon as it matches, and with all of it at the end. */
  said(pattern: RegExp): Promise<string>;
  readonly ended: Promise<AdaptEnd>;
}

/** @param onLines told of the number of whole lines on stdout, whenever there are more */
export function adapt(args: readonly string[], onLines: (lines: number) => void = () => undefined): Adapting {
  const child = spawn(process.execPath, ['--max-semi-space-size=1', mainModule, 'adapt', ...args]);
  let [stdout, stderr] = ['', ''];
  const waiting: { readonly pattern: RegExp; readonly resolve: (text: string) => void }[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    onLines(stdout.split('\n').length - 1);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    for (const { pattern, resolve } of waiting) if (pattern.test(stderr)) resolve(stderr);
  });
  // A process that ended takes no more input.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<AdaptEnd>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      for (const waiter of waiting) waiter.resolve(stderr);
      const whole = stdout
        .slice(0, stdout.lastIndexOf('\n') + 1)
        .split('\n')
        .filter((line) => line.startsWith('{"frame"'));
      resolve({ code, signal, stderr, lines: whole.map((line) => JSON.parse(line) as Prediction) });
    });
  });
  const said = (pattern: RegExp) =>
    new Promise<string>((resolve) => {
      waiting.push({ pattern, resolve });
      if (pattern.test(stderr)) resolve(stderr);
    });
  return { child, said, ended };
}

/** The final counts of a run with `--json`. */
export function finalCounts({ stderr }: AdaptEnd): Record<string, unknown> {
  const line = stderr.split('\n').findLast((text) => text.startsWith('{')) ?? '';
  return JSON.parse(line) as Record<string, unknown>;
}

/** What a prediction says, without when. */
export const timeless = ({ time: _, latencyMillis: __, ...rest }: Prediction): object => rest;

/** A folder of noise, dark first and light last, so that there is something to adapt to; 16 px. */
export async function driftingImages(folder: string, count: number): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (let n = 0; n < count; n++) {
    const image = noiseImage(16, 16, n + 1).linear(0.3 + (0.7 * n) / count, (60 * n) / count);
    await image.png().toFile(join(folder, `${String(n).padStart(4, '0')}.png`));
  }
  return folder;
}
