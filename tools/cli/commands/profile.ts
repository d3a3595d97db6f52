/** @file `edgeshift profile`: runs train or adapt under a cap and writes down what it really took. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadProfile } from '../../../device-profiles/profiles.ts';
import type { DeviceProfile } from '../../../device-profiles/schema.ts';
import { writeAtomically } from '../../../runtime/delta/atomic-file.ts';
import { ExecutionError, UsageError } from '../../../runtime/errors.ts';
import type { PowerMeter } from '../../../runtime/hid/fnirsi/power-meter.ts';
import { parseBytes } from '../../../runtime/plan/bytes-text.ts';
import type { ProfileLive } from '../../dashboard/profile-live.ts';
import { findCap } from '../../profiler/find-cap.ts';
import { allowedCores } from '../../profiler/limits/affinity.ts';
import { type HeldKind, limitKinds } from '../../profiler/limits/choose.ts';
import { Refused } from '../../profiler/limits/limit.ts';
import { machineRates } from '../../profiler/machine.ts';
import { UsbMeter } from '../../profiler/probes/usb-meter.ts';
import type { ProfileRecord } from '../../profiler/record.ts';
import { type ProfileRequest, runProfiled, type WantedLimit } from '../../profiler/run-profiled.ts';
import { choiceFlag, countFlag, type Flags, numberFlag, textFlag } from '../flags.ts';
import { attemptText, foundCapText, profileText } from '../profile-text.ts';

/** Commands that tell a profiler what they do. */
const profiled = ['train', 'adapt'];

/** This very command line, in a process of its own, with the Node flags of this one. */
const program = [process.execPath, ...process.execArgv, fileURLToPath(new URL('../main.js', import.meta.url))];

export async function run(command: readonly string[], flags: Flags): Promise<number> {
  if (!profiled.includes(command[0] ?? '')) {
    throw new UsageError(`profile runs ${profiled.join(' or ')}: edgeshift profile --cap 256MiB -- train <model> ...`);
  }
  const kind = choiceFlag(flags, 'limit', limitKinds.map(optionWord));
  const kinds = kind === undefined ? limitKinds : limitKinds.filter((one) => optionWord(one) === kind);
  const board = await loadNamed(textFlag(flags, 'device'));
  const limit = wantedLimit(board, flags);
  const folder = textFlag(flags, 'out') ?? defaultFolder();
  const rates = await machineRates(board ?? (await loadNamed(optionOf(command, '--device'))));
  await using meter = await openMeter(flags);
  await using live = await openPage(command, limit, flags);
  using stop = new Interrupt();
  const request = { program, command: plannedFor(command, flags), limit, rates, kinds, signal: stop.signal };
  try {
    const work = flags.findCap === true ? search : profile;
    return await work(live ? { ...request, onlooker: live } : request, meter, folder, flags);
  } catch (error) {
    if (error instanceof Refused) throw new ExecutionError(`this machine grants no such limit:\n${error.message}`);
    throw error;
  }
}

async function profile(
  request: ProfileRequest,
  meter: PowerMeter | null,
  folder: string,
  flags: Flags,
): Promise<number> {
  const record = await runProfiled({ ...request, ...measuredBy(meter) });
  await writeRecord(folder, record);
  if (flags.json === true) console.log(JSON.stringify(record));
  else process.stdout.write(`${profileText(record)}\nwritten to ${folder}\n`);
  const { status, exitCode } = record.outcome;
  if (status === 'finished' || status === 'interrupted') return 0;
  return status === 'out of memory' ? 3 : exitCode || 1;
}

/** Bisects the memory cap; the plan stays that of the run without one. */
async function search(
  request: ProfileRequest,
  meter: PowerMeter | null,
  folder: string,
  flags: Flags,
): Promise<number> {
  if (flags.cap !== undefined) throw new UsageError('--find-cap looks for a cap: leave --cap away');
  const scratch = await mkdtemp(join(tmpdir(), 'edgeshift-find-cap-'));
  let runs = 0;
  try {
    const found = await findCap(
      (memoryBytes, timeLimitMillis, free) => {
        const budget = free?.planned?.budgetBytes;
        const command = [
          ...request.command,
          // The last of several options counts.
          ...(request.command[0] === 'train' ? ['--run', join(scratch, `${runs++}`)] : []),
          ...(budget === undefined ? [] : ['--budget', String(budget)]),
        ];
        const limit = { ...request.limit, memoryBytes };
        return runProfiled({
          ...{ ...request, ...measuredBy(meter), command, limit, quiet: true },
          ...(timeLimitMillis !== null && { timeLimitMillis }),
        });
      },
      (attempt) => console.error(attemptText(attempt)),
    );
    const { capBytes, plannedBytes, attempts, smallest } = found;
    await writeRecord(folder, smallest);
    await writeJson(join(folder, 'find-cap.json'), { capBytes, plannedBytes, attempts });
    if (flags.json === true) console.log(JSON.stringify({ capBytes, plannedBytes, attempts }));
    else process.stdout.write(`${foundCapText(found)}\nwritten to ${folder}\n`);
    return 0;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Everything that is written of one run. */
async function writeRecord(folder: string, record: ProfileRecord): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeJson(join(folder, 'record.json'), record);
  // Not in memory while anything is measured.
  const { writeReport } = await import('../../profiler/report/report.ts');
  await writeReport(record, join(folder, 'report.html'));
}

function writeJson(path: string, value: object): Promise<void> {
  return writeAtomically(path, [new TextEncoder().encode(`${JSON.stringify(value)}\n`)]);
}

async function loadNamed(device: string | undefined): Promise<DeviceProfile | null> {
  return device === undefined ? null : loadProfile(device);
}

/** Loaded where a page is asked for. @throws UsageError, DataError (the port is taken) */
async function openPage(command: readonly string[], limit: WantedLimit, flags: Flags): Promise<ProfileLive | null> {
  if (flags.dashboard === undefined && flags.dashboardHost === undefined) return null;
  if (flags.findCap === true) throw new UsageError('--find-cap runs the command many times: leave --dashboard away');
  const { dashboardOptions } = await import('../../dashboard/options.ts');
  const options = dashboardOptions(flags);
  if (options === null) return null;
  const { ProfileLive } = await import('../../dashboard/profile-live.ts');
  return ProfileLive.open(options, command, limit.memoryBytes, (text) => console.error(text));
}

async function openMeter(flags: Flags): Promise<PowerMeter | null> {
  if (flags.powerMeter === undefined) return null;
  const { openPowerMeter } = await import('../../../runtime/hid/open.ts');
  const device = textFlag(flags, 'powerMeter');
  return openPowerMeter(device === undefined ? {} : { device });
}

/** Energy of each run counts for itself. */
const measuredBy = (meter: PowerMeter | null): Pick<ProfileRequest, 'power'> =>
  meter === null ? {} : { power: new UsbMeter(meter) };

/** Limits of a device profile, or those that were given. Memory is not limited for a search, which has caps of its own. */
function wantedLimit(board: DeviceProfile | null, flags: Flags): WantedLimit {
  const cap = textFlag(flags, 'cap');
  const cpus = numberFlag(flags, 'cpus');
  if (cpus !== undefined && cpus <= 0) throw new UsageError(`--cpus must be more than 0: ${cpus}`);
  const cores = countFlag(flags, 'cores', 1);
  const boardCores = board?.cpu.cores.value ?? null;
  // More cores than there are cannot be had; a quota of all of them would limit nothing.
  const fewer = boardCores !== null && boardCores < allowedCores('/').length ? boardCores : null;
  return {
    memoryBytes: cap === undefined ? (board?.limits.memoryBytes.value ?? null) : parseBytes('--cap', cap),
    cpus: cpus ?? fewer,
    cores: cores ?? fewer,
    profile: board?.name ?? null,
  };
}

/** The command planned for the same device and cap, where it does not name them itself. */
function plannedFor(command: readonly string[], flags: Flags): readonly string[] {
  const device = textFlag(flags, 'device');
  const cap = textFlag(flags, 'cap');
  return [
    ...command,
    ...(device === undefined || optionOf(command, '--device') !== undefined ? [] : ['--device', device]),
    ...(cap === undefined || optionOf(command, '--budget') !== undefined
      ? []
      : ['--budget', String(parseBytes('--cap', cap))]),
    // A command that gives way under a smaller cap would not be the one whose cap is looked for.
    ...(flags.findCap === true && optionOf(command, '--governor') === undefined ? ['--governor', 'off'] : []),
  ];
}

/** What the command gives an option of its own; the last of several counts. */
function optionOf(command: readonly string[], option: string): string | undefined {
  const at = command.findLastIndex((word) => word === option || word.startsWith(`${option}=`));
  const word = command[at];
  return word === option ? command[at + 1] : word?.slice(option.length + 1);
}

const defaultFolder = (): string => join('profiles', new Date().toISOString().slice(0, 19).replace(/:/g, '-'));

const optionWord = (kind: HeldKind): string => kind.replaceAll(' ', '-');

/** The first SIGINT or SIGTERM asks the command to end, the second ends this process and the command with it. */
class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #stop = (): void => {
    if (this.signal.aborted) process.exit(130);
    this.#controller.abort();
  };

  constructor() {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, this.#stop);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, this.#stop);
  }
}
