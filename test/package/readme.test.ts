/** The README's word: its examples run as they stand, its commands exist, its links lead somewhere. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { edgeshift } from '../support/train-cli.ts';
import { toyImages } from '../support/train-images.ts';
import { tinyModel } from '../support/train-runs.ts';

const execute = promisify(execFile);

/** The repository, seen from the compiled file in dist/test/package. */
const repository = fileURLToPath(new URL('../../../', import.meta.url));
const documents = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  ...['runtime', 'kernels', 'models', 'device-profiles', 'tools', 'test'].map((folder) => `${folder}/README.md`),
  ...['runtime/delta', 'tools/deploy', 'device-profiles/boards'].map((folder) => `${folder}/README.md`),
];

const read = (path: string): Promise<string> => readFile(join(repository, path), 'utf8');

/** Fenced blocks of a language. */
function blocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, of, body = '']) =>
    of === language ? [body] : [],
  );
}

/** Commands of the shell blocks, continued lines joined. */
const commands = (markdown: string): string[] =>
  blocks(markdown, 'sh').flatMap((body) => body.replace(/\\\n\s*/g, '').split('\n'));

const helps = new Map<string, Promise<string>>();

/** Help of a command, such as `plan` or `deploy push`; '' for the whole. */
function help(t: ExecutionContext, command: string): Promise<string> {
  const known = helps.get(command);
  if (known) return known;
  const words = command === '' ? [] : command.split(' ');
  const asked = edgeshift([...words, '--help']).then(({ code, stdout, stderr }) => {
    t.is(code, 0, `${command} --help\n${stderr}`);
    return stdout;
  });
  helps.set(command, asked);
  return asked;
}

/** Names of the commands that a help lists. */
const commandsIn = (text: string): string[] =>
  [...(text.split(/^Commands:$/m)[1] ?? '').matchAll(/^ {2}(\w+)\b/gm)]
    .map(([, name = '']) => name)
    .filter((name) => name !== 'help');

/** Checks a command line of edgeshift: the command and its options exist, and those of a command after `--`. */
async function checkUse(t: ExecutionContext, line: string, words: readonly string[]): Promise<void> {
  const end = words.indexOf('--');
  if (end >= 0) await checkUse(t, line, words.slice(end + 1));
  const [first = '', ...rest] = end < 0 ? words : words.slice(0, end);
  t.true(commandsIn(await help(t, '')).includes(first), `${line}: no such command`);
  const below = commandsIn(await help(t, first));
  const command = below.length === 0 || !below.includes(rest[0] ?? '') ? first : `${first} ${rest[0]}`;
  const text = await help(t, command);
  for (const word of rest.filter((candidate) => candidate.startsWith('--'))) {
    const [option = ''] = word.split('=');
    t.regex(text, new RegExp(`^  (-\\w, )?${option}\\b`, 'm'), `${line}: "${command}" has no ${option}`);
  }
}

/** Checks every command line of edgeshift in a document; the commands that it shows. */
async function checkCommands(t: ExecutionContext, document: string): Promise<Set<string>> {
  const prefix = /^(npm run --silent edgeshift -- |npx edgeshift )/;
  const shown = new Set<string>();
  for (const line of commands(await read(document)).filter((each) => prefix.test(each))) {
    // What is quoted is handed on.
    const words = line
      .replace(prefix, '')
      .replace(/'[^']*'/g, "''")
      .trim()
      .split(/\s+/);
    shown.add(words[0] ?? '');
    await checkUse(t, line, words);
  }
  return shown;
}

test('every command in the README exists, with every option it is given', async (t) => {
  const shown = await checkCommands(t, 'README.md');
  t.deepEqual([...shown].sort(), commandsIn(await help(t, '')).sort(), 'the README shows each command');
});

test('every command on the pages of the boards exists, too', async (t) => {
  t.true((await checkCommands(t, 'device-profiles/boards/README.md')).has('deploy'));
});

test('options named in the text of the README exist', async (t) => {
  const names = [
    'plan',
    'train',
    'warmup',
    'adapt',
    'evaluate',
    'export',
    'devices',
    'convert',
    'inspect',
    'corrupt',
    'profile',
    ...['build', 'push', 'status', 'logs', 'rollback', 'pull'].map((name) => `deploy ${name}`),
    ...['inspect', 'diff', 'transfer', 'merge', 'sign', 'verify', 'keygen'].map((name) => `delta ${name}`),
  ];
  const texts = await Promise.all(names.map((name) => help(t, name)));
  const prose = (await read('README.md')).replace(/^```.*?^```$/gms, '');
  // Options of npm and Node that the README speaks of as well.
  const foreign = new Set(['--ignore-scripts', '--silent', '--max-semi-space-size']);
  for (const [, option = ''] of prose.matchAll(/`[^`\n]*?(--[a-z][a-z-]*)/g)) {
    if (foreign.has(option)) continue;
    t.true(
      texts.some((text) => new RegExp(`^  (-\\w, )?${option}\\b`, 'm').test(text)),
      `no command has ${option}`,
    );
  }
});

for (const document of documents) {
  test(`${document}: scripts, test files and links exist`, async (t) => {
    const text = await read(document);
    const { scripts } = JSON.parse(await read('package.json')) as { scripts: Record<string, string> };
    for (const [line, name = ''] of text.matchAll(/npm run (?:--silent )?([\w-]+)/g)) t.true(name in scripts, line);
    for (const [, path = ''] of text.matchAll(/dist\/(test\/[\w/-]+\.test)\.js/g))
      t.true(existsSync(join(repository, `${path}.ts`)), path);
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https:|#)/.test(target)) continue;
      const [path = ''] = target.split('#');
      t.true(existsSync(join(repository, dirname(document), path)), `${document} links to ${target}`);
    }
    t.pass();
  });
}

test('the library examples of the README run as they stand', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'edgeshift-test-readme-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'node_modules'));
  await symlink(repository, join(folder, 'node_modules', 'edgeshift'), 'dir');
  await tinyModel(join(folder, 'model.onnx'));
  await toyImages(join(folder, 'photos'));
  const examples = blocks(await read('README.md'), 'ts');
  t.true(examples.length >= 2);
  const printed: string[] = [];
  for (const [index, source] of examples.entries()) {
    // Without type annotations an example is JavaScript too.
    const name = `example-${index}.mjs`;
    await writeFile(join(folder, name), source);
    printed.push((await execute(process.execPath, [name], { cwd: folder })).stdout);
  }
  const text = printed.join('');
  t.regex(text, /^16 \d+$/m, 'the size of the images, and the nodes');
  t.regex(text, /^Plan for model at 16 px on this-machine/m);
  t.regex(text, /^0\.\d+ [01](\.\d+)? runs\/first\/model\.onnx$/m, 'accuracy before and after');
  t.regex(text, /^true \d+ \d+ \d+ \d+$/m, 'the plan for the Jetson Nano fits');
  t.true(existsSync(join(folder, 'runs', 'first', 'model.onnx')));
});
