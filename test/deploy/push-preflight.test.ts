/** What is settled before anything is sent: names of hosts, inventories, and whether a board can take a bundle. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DataError, UsageError } from '../../runtime/errors.ts';
import { boardReport, boardStatus, parseReply } from '../../tools/deploy/host/board-report.ts';
import { folderName, hostOf } from '../../tools/deploy/host/host.ts';
import { readInventory } from '../../tools/deploy/host/inventory.ts';
import { isAtLeast, nodeServes, preflightProblems } from '../../tools/deploy/host/preflight.ts';
import { quoted } from '../../tools/deploy/host/ssh.ts';
import { tinyFiles } from '../support/deploy-tiny-bundles.ts';

const root = await mkdtemp(join(tmpdir(), 'edgeshift-test-preflight-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

test('hosts that ssh would read as something else are refused', (t) => {
  for (const name of ['board', 'user@board', 'u.s-er_1@10.0.0.7', 'user@fe80::1%eth0', 'board.local']) {
    t.is(hostOf(name).destination, name);
  }
  for (const name of [
    '',
    '-oProxyCommand=x',
    'user@-board',
    '-l@board',
    'a b',
    'a;b',
    'a@b@c',
    'a\nb',
    '$(x)',
    '`x`',
  ]) {
    t.throws(() => hostOf(name), { instanceOf: UsageError, message: /is no host: expected host or user@host/ }, name);
  }
  for (const port of [0, 65536, 1.5, Number.NaN]) t.throws(() => hostOf('a', { port }), { message: /1 to 65535/ });
});

test('the folder on the board is a plain path', (t) => {
  for (const [text, path] of [
    ['edgeshift', 'edgeshift'],
    ['~/apps/edge', 'apps/edge'],
    ['/opt/edgeshift/', '/opt/edgeshift'],
  ] as const) {
    t.is(hostOf('a', { root: text }).root, path);
  }
  for (const bad of ['', '/', '~', '-x', '../x', 'a/../b', 'a b', "a'b", 'a;b', 'a\nb', '$HOME/x', 'a|b', 'a&b']) {
    t.throws(() => hostOf('a', { root: bad }), { instanceOf: UsageError, message: /must be a plain path/ }, bad);
  }
  t.is(folderName(hostOf('me@fe80::1', { root: '/opt/x', port: 22 })), 'me@fe80__1_22+_opt_x');
});

test('words reach the other side as they are', (t) => {
  t.is(quoted("it's $HOME"), "'it'\\''s $HOME'");
});

test('an inventory: hosts in order, chosen by label; what is wrong is named', async (t) => {
  const path = join(root, 'hosts.json');
  const write = (value: unknown) => writeFile(path, JSON.stringify(value));
  await write([
    { host: 'a', labels: ['shelf'] },
    { host: 'me@b', port: 2222, root: '/opt/e', labels: ['door'] },
  ]);
  t.deepEqual(
    (await readInventory(path)).map(({ name, root: folder }) => [name, folder]),
    [
      ['a', 'edgeshift'],
      ['me@b:2222', '/opt/e'],
    ],
  );
  t.deepEqual(
    (await readInventory(path, ['door'])).map(({ name }) => name),
    ['me@b:2222'],
  );
  await t.throwsAsync(readInventory(path, ['roof']), {
    instanceOf: UsageError,
    message: /labelled roof: there are shelf, door/,
  });
  await write([{ host: 'a' }, { host: 'a' }]);
  await t.throwsAsync(readInventory(path), { instanceOf: UsageError, message: /names a with folder edgeshift twice/ });
  await write([{ host: '-oProxyCommand=x' }]);
  await t.throwsAsync(readInventory(path), { instanceOf: UsageError });
  await write([{ hostname: 'a' }]);
  await t.throwsAsync(readInventory(path), { instanceOf: DataError, message: /0\.host: .*\n.*hostname/ });
  await write([]);
  await t.throwsAsync(readInventory(path), { message: /expected at least one host/ });
  await writeFile(path, '- host: a\n');
  await t.throwsAsync(readInventory(path), { instanceOf: DataError, message: /is no JSON/ });
  await t.throwsAsync(readInventory(join(root, 'none')), {
    instanceOf: DataError,
    message: /cannot read the inventory/,
  });
});

const board = boardReport(
  parseReply(
    [
      ...[
        'machine=aarch64',
        'libc=glibc 2.31',
        'node=v20.19.1',
        'free=200000000',
        'memory=900000000',
        'held=100000000',
      ],
      ...['lacking=', 'manager=plain', 'current=', 'writable=yes', 'noise'],
    ].join('\n'),
  ),
);

test('a board that can take it, and everything that keeps one from it at once', async (t) => {
  const memory = { planBytes: 1e9, highBytes: 1.1e9, maxBytes: 1.2e9 };
  const { manifest } = await tinyFiles({ name: 'a', facts: { target: 'linux-arm64', glibc: '2.28', memory } });
  t.deepEqual(preflightProblems(manifest, board, 100e6), { refusals: [], shortages: [] });
  const poor = {
    ...board,
    ...{ machine: 'x86_64', libc: 'glibc 2.9', node: '18.20.0', freeBytes: 1e6, memoryBytes: 5e8 },
    ...{ lacking: ['sha256sum', 'setsid'], writable: false },
  };
  const { refusals, shortages } = preflightProblems(manifest, poor, 100e6);
  t.deepEqual(refusals, [
    'architecture: the bundle is for linux-arm64, the board is x86_64',
    'glibc: the bundle needs 2.28 or later, the board has 2.9',
    'Node: expected 20.19, 22 or 24 and later, the board has Node 18.20.0; build the bundle with --with-node',
    'programs: the board has no sha256sum, setsid',
    'folder: the user may not write there',
  ]);
  t.deepEqual(shortages, [
    'disk: 976.6 KiB are free, 104.9 MiB are needed',
    'memory: 476.8 MiB are available, the plan takes 953.7 MiB',
  ]);
  t.deepEqual(preflightProblems({ ...manifest, node: '22.1.0' }, { ...board, node: null }, 0).refusals, []);
  t.regex(preflightProblems(manifest, { ...board, node: null }, 0).refusals.join(), /no node on the path/);
  t.regex(preflightProblems(manifest, { ...board, libc: 'musl libc (aarch64)' }, 0).refusals.join(), /musl/);
  t.deepEqual(preflightProblems(manifest, { ...board, libc: 'ldd (Debian GLIBC 2.36-9) 2.36' }, 0).refusals, []);
});

test('figures that a board did not say are never enough', async (t) => {
  const { manifest } = await tinyFiles({ name: 'a', facts: { target: 'linux-arm64' } });
  const silent = boardReport(parseReply('machine=aarch64\nlibc=glibc 2.31\nnode=v22.1.0\nwritable=yes\nfree=-\n'));
  t.deepEqual(preflightProblems(manifest, silent, 0).shortages, [
    'disk: an unknown number of bytes are free, 0 B are needed',
    'memory: an unknown number of bytes are available, the plan takes 0 B',
  ]);
});

test('Node is asked for as package.json asks for it', async (t) => {
  const { engines } = JSON.parse(await readFile(new URL('../../../package.json', import.meta.url), 'utf8'));
  t.is(engines.node, '^20.19.0 || ^22.0.0 || >=24.0.0');
  for (const version of ['20.19.0', '20.20.2', '22.0.0', '22.11.0', '24.0.0', '25.1.0'])
    t.true(nodeServes(version), version);
  for (const version of ['18.20.4', '20.18.9', '21.7.0', '23.1.0', '', 'x']) t.false(nodeServes(version), version);
  t.true(isAtLeast('2.31', '2.4'));
  t.false(isAtLeast('2.4', '2.31'));
  t.true(isAtLeast('2.31', '2.31'));
});

test('status of a board, whatever its service wrote', (t) => {
  const lines = [
    'manager=plain',
    'current=0123456789abcdef',
    'pid=7',
    'release=b',
    'release=a',
    'history=one',
    'free=5',
  ];
  const status = boardStatus(parseReply([...lines, 'status={"state":"ready","error":"a=b"}'].join('\n')));
  t.like(status, { current: '0123456789abcdef', former: null, pid: 7, freeBytes: 5, holder: null });
  t.deepEqual(
    [status.releases, status.history, status.service],
    [['b', 'a'], ['one'], { state: 'ready', error: 'a=b' }],
  );
  t.is(boardStatus(parseReply('status={"state":"re')).service, null);
});
