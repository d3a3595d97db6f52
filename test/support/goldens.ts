/** @file Text snapshots in test/goldens, compared byte for byte. */
import { readFile, writeFile } from 'node:fs/promises';
import type { ExecutionContext } from 'ava';

/** A file below test/goldens of the package, seen from the compiled file in dist/test/support. */
export function goldenUrl(name: string): URL {
  return new URL(`../../../test/goldens/${name}`, import.meta.url);
}

/** Compares with the snapshot; with UPDATE_GOLDENS=1 in the environment it writes the snapshot instead. */
export async function assertGolden(t: ExecutionContext, name: string, text: string): Promise<void> {
  if (process.env.UPDATE_GOLDENS === '1') {
    await writeFile(goldenUrl(name), text);
    t.log(`wrote test/goldens/${name}`);
  }
  const expected = await readFile(goldenUrl(name), 'utf8').catch(() => '');
  if (text === expected) {
    t.pass();
    return;
  }
  const [lines, expectedLines] = [text.split('\n'), expected.split('\n')];
  const at = lines.findIndex((line, i) => line !== expectedLines[i]);
  const where = `test/goldens/${name}:${at + 1}`;
  t.fail(
    `${where}: expected ${JSON.stringify(expectedLines[at])} but got ${JSON.stringify(lines[at])}\n` +
      'Hint: if the change is wanted, run the test with UPDATE_GOLDENS=1 and review the difference',
  );
}
