/**
 * @file A camera and whoever watches it, as a process of their own: `node labelled-feed.js <images> <labels> <collected> [count]`.
 *
 * Writes 64 frames, the images of a folder of classes in turns, to its standard output, and appends the label of each to a
 * file. It ends when all were written and `count` images are collected (default: without an end), or when whoever started
 * it is gone. Labels are repeated, since one that comes before its frame was shown is not kept.
 */
import { appendFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const parent = process.ppid;
const [images = '', labels = '', collected = '', count = 'Infinity'] = process.argv.slice(2);
const FRAMES = 64;

const paths = (await readdir(images, { recursive: true })).filter((path) => path.endsWith('.png'));
const inTurns = (path: string): string => path.split('/').reverse().join('/');
paths.sort((a, b) => (inTurns(a) < inTurns(b) ? -1 : 1));
const encoded = await Promise.all(paths.map((path) => readFile(join(images, path))));

const saved = async (): Promise<number> =>
  (await readdir(collected, { recursive: true }).catch(() => [])).filter((path) => path.endsWith('.png')).length;

const lines: string[] = [];
while (process.ppid === parent && (lines.length < FRAMES || (await saved()) < Number(count))) {
  const frame = lines.length;
  if (frame < FRAMES) {
    const n = frame % paths.length;
    process.stdout.write(encoded[n] as Buffer);
    lines.push(`${JSON.stringify({ frame, class: paths[n]?.split('/')[0] })}\n`);
    await delay(5);
  } else await delay(100);
  if (frame % 8 === 7 || frame === FRAMES) await appendFile(labels, lines.join(''));
}
