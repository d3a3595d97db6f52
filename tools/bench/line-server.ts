/**
 * @file The side of a contender that answers: `step` or `steps 5` on stdin, `{"millis": [...], "loss": ...}` on stdout; at
 * `end` or the end of the input it leaves. torch/step_server.py speaks the same.
 */
import { createInterface } from 'node:readline';
import { peakRssBytes } from '../../runtime/train/memory.ts';

const say = (message: object): void => console.log(JSON.stringify(message));

/**
 * Serves steps until told to end.
 * @param ready what the first line tells besides `ready`
 * @param step one step; its result is the loss, or null where there is none
 * @param questions what else may be asked, by the line that asks it
 */
export async function serveSteps(
  ready: object,
  step: () => Promise<number | null>,
  questions: Readonly<Record<string, () => Promise<object>>> = {},
): Promise<void> {
  say({ ready: true, ...ready });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'end') break;
    const answer = questions[line];
    if (answer) {
      say(await answer());
      continue;
    }
    const [, asked] = /^steps? ?(\d*)$/.exec(line) ?? [];
    if (asked === undefined) throw new Error(`expected "step", "steps <count>" or "end" but got "${line}"`);
    const millis: number[] = [];
    let loss: number | null = null;
    for (let n = 0; n < Number(asked || 1); n++) {
      const started = performance.now();
      loss = await step();
      millis.push(performance.now() - started);
    }
    say({ millis, loss });
  }
  say({ maxRssBytes: await peakRssBytes() });
}
