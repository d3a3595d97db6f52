/**
 * @file A process that takes memory at random speeds, holds it for a while and gives some of it back, until it is told to end. The
 * first argument is `Hunger` as JSON; a line on stdout says the highest it came to.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { freeNow } from '../../../runtime/garbage.ts';
import { Random } from '../../../runtime/train/random.ts';
import type { Hunger } from './beside.ts';

const MIB = 2 ** 20;
/** Memory is taken in small bites, so that the speed is the same all the way. */
const BITE_MILLIS = 5;

const { seed, mostMebibytes, speeds, holdMillis } = JSON.parse(process.argv[2] ?? '{}') as Hunger;
const random = new Random(seed);
const held: Uint8Array[] = [];
let most = 0;
let ended = false;
process.once('SIGTERM', () => {
  ended = true;
});

/** One MiB, every page of it written. */
function take(): void {
  held.push(Buffer.allocUnsafeSlow(MIB).fill(1));
  most = Math.max(most, held.length);
}

async function grow(target: number, speed: number): Promise<void> {
  let [due, last] = [held.length, performance.now()];
  while (held.length < target && !ended) {
    await sleep(BITE_MILLIS);
    const now = performance.now();
    // What a busy processor kept from it is not made up for: the speed is never above what was asked.
    due += (speed * Math.min(now - last, 2 * BITE_MILLIS)) / 1000;
    last = now;
    while (held.length + 1 <= Math.min(due, target)) take();
  }
}

function shrink(target: number): void {
  for (const chunk of held.splice(target)) freeNow(chunk);
}

await sleep(random.uniform(0, holdMillis));
while (!ended) {
  const target = Math.round(random.uniform(0, mostMebibytes));
  const speed = speeds[0] * (speeds[1] / speeds[0]) ** random.uniform(0, 1);
  if (target > held.length) await grow(target, speed);
  else shrink(target);
  await sleep(random.uniform(0, holdMillis));
}
console.log(JSON.stringify({ mostMebibytes: most }));
