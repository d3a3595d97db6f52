/** From a laptop to a board that learns from its stream, and back: real build, real sshd, real service, real images. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { argmaxRows } from '../../runtime/adapt/entropy.ts';
import { openAdapter } from '../../runtime/adapt/open.ts';
import { EdgeshiftError } from '../../runtime/errors.ts';
import { buildBundle } from '../../tools/deploy/bundle/build.ts';
import { targetNamed } from '../../tools/deploy/bundle/target.ts';
import { assertServes, eventually, serving } from '../support/deploy-board.ts';
import { boards } from '../support/deploy-pushes.ts';
import { offlineReason } from '../support/deploy-runtime.ts';
import { freePorts } from '../support/deploy-sshd.ts';
import {
  cleanFrames,
  FRAME_BYTES,
  type Frames,
  fashionFolder,
  fashionModel,
  noisyFrames,
  SIDE,
} from '../support/fashion-frames.ts';
import { lastJson } from '../support/train-cli.ts';

const { scratch, onBoard } = await boards();

/** Shown to the board, and kept from it. */
const SHOWN = 448;
const KEPT = 192;

onBoard('learns', 'build, push, a stream that is adapted to, and home with what was learnt', async (t, board) => {
  if (fashionFolder === null) {
    t.log('skipped: there is no Fashion-MNIST here (Debian package dataset-fashion-mnist)');
    t.pass();
    return;
  }
  const [port = 0] = await freePorts(1);
  const run = `adapt --source http://127.0.0.1:${port} --image-size ${SIDE} --batch 32 --threads 2 --budget 1GiB --no-background`;
  const path = join(scratch, 'learns.tar.gz');
  try {
    const target = targetNamed(`linux-${process.arch}`);
    await buildBundle({ target, model: fashionModel, run, withNode: false }, path);
  } catch (error) {
    const reason = error instanceof EdgeshiftError ? offlineReason(error.message) : null;
    if (reason === null) throw error;
    t.log(`skipped: the npm registry cannot be reached (${reason})`);
    t.pass();
    return;
  }
  const pushed = await board.run('push', path, '--health-timeout', '120');
  t.is(pushed.code, 0, pushed.stderr);
  await assertServes(t, board.root, (await serving(board.root))?.release ?? '');

  const frames = await noisyFrames(await cleanFrames(SHOWN + KEPT), 'gaussian_noise');
  const wrong = await show(port, part(frames, 0, SHOWN));
  t.log(`${SHOWN} frames, ${wrong} wrong while it learnt`);
  await eventually(t, 'the status to count them', async () => {
    const { service } = lastJson(await board.run('status')) as { service: { frames: number; updates: number } };
    return service.frames === SHOWN && service.updates > 0;
  });

  const pulled = lastJson(await board.run('pull', '--out', join(scratch, 'pulled')));
  const folder = pulled.folder as string;
  const [delta] = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('delta.safetensors'));
  const kept = part(frames, SHOWN, SHOWN + KEPT);
  const before = await errors(kept);
  const after = await errors(kept, join(folder, delta ?? ''));
  t.log(`${KEPT} other frames on the laptop: ${before} wrong with the model, ${after} with the delta that came home`);
  t.true(after < before);
});

const part = ({ images, labels }: Frames, from: number, to: number): Frames => ({
  images: images.subarray(from * FRAME_BYTES, to * FRAME_BYTES),
  labels: labels.subarray(from, to),
});

/** Frames as a camera would post them, a few at once; how many were misclassified. */
async function show(port: number, { images, labels }: Frames): Promise<number> {
  let wrong = 0;
  for (let from = 0; from < labels.length; from += 32) {
    const numbers = [...labels.keys()].slice(from, from + 32);
    const answers = numbers.map(async (n) => {
      const pixels = images.subarray(n * FRAME_BYTES, (n + 1) * FRAME_BYTES);
      const image = sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } });
      const body = new Uint8Array(await image.png().toBuffer());
      const answer = await fetch(`http://127.0.0.1:${port}/frame`, { method: 'POST', body });
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
      return Number(((await answer.json()) as { class: unknown }).class) === labels[n] ? 0 : 1;
    });
    for (const answer of await Promise.all(answers)) wrong += answer;
  }
  return wrong;
}

/** Frames that a model gets wrong, with a delta or as it was deployed, without learning. */
async function errors({ images, labels }: Frames, delta?: string): Promise<number> {
  const options = { model: fashionModel, method: 'none', batch: 32, imageSize: SIDE } as const;
  await using adapter = await openAdapter({ ...options, ...(delta !== undefined && { delta }) });
  let wrong = 0;
  for (let from = 0; from < labels.length; from += 32) {
    const few = images.subarray(from * FRAME_BYTES, (from + 32) * FRAME_BYTES);
    const { logits } = await adapter.observe(few, 32);
    argmaxRows(logits, 10).forEach((label, n) => {
      wrong += label === labels[from + n] ? 0 : 1;
    });
  }
  return wrong;
}
