/** What a command says of itself, from its side and from its profiler's. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import test from 'ava';
import fc from 'fast-check';
import { FD_VARIABLE } from '../../tools/profiler/emit.ts';
import { Heard, parseMessage } from '../../tools/profiler/messages.ts';
import type { Mark } from '../../tools/profiler/record.ts';

const emitter = new URL('../../tools/profiler/emit.js', import.meta.url).href;

/** A process that writes through the emitter; `environment` in place of what a profiler sets. */
function speaking(statements: string, environment: Record<string, string> = { [FD_VARIABLE]: '3' }) {
  const program = `
    import { ProfileEmitter } from ${JSON.stringify(emitter)};
    const profile = ProfileEmitter.open();
    ${statements}`;
  const { [FD_VARIABLE]: _, ...rest } = process.env;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...rest, ...environment },
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
  });
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const closed = once(child, 'exit') as Promise<[number | null]>;
  return { pipe: child.stdio[3] as Readable, ended: closed.then(([code]) => ({ code, stdout })) };
}

test('marks, arena, heap and peak arrive; the timer does not hold the process', async (t) => {
  const marks: Omit<Mark, 'at'>[] = [];
  const heard = new Heard((mark) => marks.push(mark));
  const { pipe, ended } = speaking(`
    console.log(process.env.${FD_VARIABLE});
    profile.mark('opened');
    profile.mark('step', 1, 12.5);
    profile.arena(4096);
    profile.close();
    profile.mark('finished');`);
  await heard.listen(pipe);
  t.deepEqual(await ended, { code: 0, stdout: 'undefined\n' }, 'processes that it starts do not write into the pipe');
  t.deepEqual(marks, [
    { kind: 'opened', number: 0, millis: null },
    { kind: 'step', number: 1, millis: 12.5 },
  ]);
  t.is(heard.arenaBytes, 4096);
  t.true((heard.heapBytes ?? 0) > 2 ** 20);
  t.true((heard.rssBytes ?? 0) > (heard.heapBytes ?? 0));
  t.is(heard.garbled, 0);
});

test('without a profiler, or with a number that is no pipe, nothing is opened', async (t) => {
  for (const environment of [{}, { [FD_VARIABLE]: '1' }, { [FD_VARIABLE]: '77' }, { [FD_VARIABLE]: 'x' }]) {
    const { code, stdout } = await speaking('console.log(profile);', environment).ended;
    t.deepEqual([code, stdout], [0, 'null\n'], JSON.stringify(environment));
  }
});

test('a profiler that is gone costs the command nothing', async (t) => {
  const { pipe, ended } = speaking(`
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (let n = 1; n < 10000; n++) profile.mark('step', n);
    console.log('done');`);
  pipe.destroy();
  t.deepEqual(await ended, { code: 0, stdout: 'done\n' });
});

test('lines that are no messages are counted and change nothing', (t) => {
  const lines = [
    '',
    'null',
    '{"kind":"planned"}',
    '{"kind":"mark","mark":"lunch","number":0,"millis":null}',
    '{"kind":"mark","mark":"step","number":-1,"millis":null}',
    '{"kind":"heap","bytes":"12"}',
    '{"kind":"arena","bytes":-4}',
    '{"kind":"steps","steps":[{}]}',
    '{"kind":"rss","bytes":',
  ];
  const heard = new Heard(() => t.fail());
  for (const line of lines) heard.take(line);
  t.is(heard.garbled, lines.length);
  t.like(heard, { planned: null, heapBytes: null, arenaBytes: null, rssBytes: null });
});

test('no text makes the reader throw', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
      parseMessage(line);
    }),
    { seed: 7, numRuns: 500 },
  );
  t.pass();
});
