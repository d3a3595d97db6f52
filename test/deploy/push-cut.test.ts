/** The line is cut at some byte of the upload: the former release serves, and the next push sends only what is left. */
import { Random } from '../../runtime/train/random.ts';
import { assertServes, eventually } from '../support/deploy-board.ts';
import { cutLine } from '../support/deploy-cut.ts';
import { boards } from '../support/deploy-pushes.ts';
import { lastJson } from '../support/train-cli.ts';

const SEED = Number(process.env.EDGESHIFT_CUT_SEED ?? 20261122);
const CUTS = Number(process.env.EDGESHIFT_CUTS ?? 5);

/** Enough that most of what goes over the line is files. */
const FILES = 12;
const BYTES = 100_000;

const { onBoard } = await boards();

onBoard('cut', 'a line that is cut during the upload', async (t, board) => {
  t.log(`seed ${SEED}, ${CUTS} cuts; EDGESHIFT_CUT_SEED and EDGESHIFT_CUTS change them`);
  const random = new Random(SEED);
  const { id: former } = await board.push({ name: 'former' });
  await assertServes(t, board.root, former);
  let serving = former;
  let [sentAgain, sentInAll] = [0, 0];
  for (let turn = 0; turn < CUTS; turn++) {
    // Beyond the handshake and board.sh, and before the last file has gone.
    const at = random.integer(50_000, FILES * BYTES);
    const bundle = { name: `turn-${turn}`, ballast: { files: FILES, bytes: BYTES, seed: turn } };
    const line = await cutLine(board.sshd.port, at);
    const config = await board.sshd.configFor(line.port);
    const { result } = await board.push(bundle, '--ssh-config', config);
    t.is(result.code, 1, `cut at ${at}: ${result.stderr}`);
    t.regex(result.stderr, /the connection was lost during put|the upload ended early/, `cut at ${at}`);
    t.regex(result.stdout, /board +untouched/);
    t.true(line.sent() >= at);
    line.close();
    await assertServes(t, board.root, serving);
    // The board notices in its own time that nobody is there any more.
    await eventually(t, 'the board is free again', async () => lastJson(await board.run('status')).holder === null);

    const rest = await board.push(bundle, '--json');
    t.is(rest.result.code, 0, rest.result.stderr);
    const { hosts } = JSON.parse(rest.result.stdout) as { hosts: readonly { sentBytes: number }[] };
    const sent = hosts[0]?.sentBytes ?? Number.NaN;
    t.log(`cut at ${at} bytes, then ${sent} bytes were sent`);
    sentAgain += sent;
    sentInAll += FILES * BYTES;
    await assertServes(t, board.root, rest.id);
    serving = rest.id;
  }
  t.true(sentAgain < 0.9 * sentInAll, 'what arrived whole is not sent again');
});
