/**
 * @file `npm run demo`: from a fresh clone to a fine-tuned MobileNetV2, with every command it runs shown. Plain JavaScript,
 * because it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureInstalled } from './setup.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cache = join(root, '.cache');
const started = Date.now();

ensureInstalled();
const { build } = await import('./build.mjs');
if (!build()) process.exit(1);

const { ensureMobileNetV2 } = await import('../dist/models/mobilenet-v2/build.js');
const { ensureEmoji } = await import('../dist/models/datasets/emoji.js');

heading('A pretrained MobileNetV2 (npm package nsfwjs) becomes ONNX; emoji in four drawing styles become images');
const model = await ensureMobileNetV2(join(cache, 'models'));
const { train, test } = await ensureEmoji(join(cache, 'datasets'));
const data = dirname(train);
console.log(`model  ${short(model)}\ntrain  ${short(train)}\ntest   ${short(test)}`);

const common = ['--image-size', '96', '--batch', '32', '--budget', '256MiB', '--seed', '1'];
heading('What will training cost on a Jetson Nano, in a process of 256 MiB?');
edgeshift(
  'plan',
  short(model),
  '--device',
  'jetson-nano-4gb',
  '--classes',
  '16',
  '--scheme',
  'mobiletl',
  '--blocks',
  '4',
  ...common,
);

heading('The head alone');
const head = trainRun('head', ['--scheme', 'head', '--augment', 'flip', '--epochs', '12', '--lr-head', '3e-3']);
heading('MobileTL: four blocks, one bit kept for each activation');
const mobiletl = trainRun('mobiletl', ['--scheme', 'mobiletl', '--blocks', '4', '--augment', 'flip', '--epochs', '12']);

heading('The exported model in a bare onnxruntime session');
edgeshift('evaluate', short(mobiletl.export), '--data', short(test));

heading('Result');
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
const rows = [
  ['', 'head', 'mobiletl'],
  ['accuracy on emoji never seen', percent(head.accuracyAfter), percent(mobiletl.accuracyAfter)],
  ['arena, planned', `${head.plannedPeakBytes} B`, `${mobiletl.plannedPeakBytes} B`],
  ['arena, highest byte used', `${head.arenaHighWaterBytes} B`, `${mobiletl.arenaHighWaterBytes} B`],
  ['process, planned', mib(head.plannedTotalBytes), mib(mobiletl.plannedTotalBytes)],
  ['process, measured peak', mib(head.maxRssBytes), mib(mobiletl.maxRssBytes)],
  ['median step of 32 images', `${head.stepMillis.p50.toFixed(0)} ms`, `${mobiletl.stepMillis.p50.toFixed(0)} ms`],
];
for (const [label, one, two] of rows) console.log(`${label.padEnd(30)}${one.padStart(14)}${two.padStart(14)}`);
console.log(`\nexported: ${short(mobiletl.export)}; ${((Date.now() - started) / 1000).toFixed(0)} s in all`);

/** Trains in a fresh process and returns its result line. */
function trainRun(name, options) {
  const run = join(cache, 'demo', name);
  rmSync(run, { recursive: true, force: true });
  return JSON.parse(
    edgeshift('train', short(model), '--data', short(data), '--run', short(run), ...common, ...options, '--json'),
  );
}

/** Runs the command line as `npm run edgeshift` does; the output of `--json` is returned, other output shown. */
function edgeshift(...args) {
  console.log(`$ npm run --silent edgeshift -- ${args.join(' ')}`);
  const json = args.includes('--json');
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const result = spawnSync('sh', ['-c', `${scripts.edgeshift} "$@"`, 'edgeshift', ...args], {
    cwd: root,
    stdio: ['ignore', json ? 'pipe' : 'inherit', 'inherit'],
    encoding: 'utf8',
  });
  if (result.status !== 0) process.exit(result.status ?? 1);
  return (result.stdout ?? '').trim();
}

function heading(text) {
  console.log(`\n\x1b[1m${text}\x1b[0m`);
}

function short(path) {
  return path.startsWith(root) ? path.slice(root.length + 1) : path;
}
