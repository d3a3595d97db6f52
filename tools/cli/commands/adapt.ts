/** @file `edgeshift adapt`: predictions on stdout, progress and counts on stderr. */
import { AdaptRun } from '../../../runtime/adapt/adapt-run.ts';
import { BackgroundAdapter } from '../../../runtime/adapt/background.ts';
import { writeAdaptedDelta, writeAdaptedModel } from '../../../runtime/adapt/export-adapted.ts';
import type { AdaptOptions } from '../../../runtime/adapt/open.ts';
import { runSession, type SessionResult } from '../../../runtime/adapt/session.ts';
import { LateLabels } from '../../../runtime/adapt/streams/late-labels.ts';
import { openSource, type SourceOptions } from '../../../runtime/adapt/streams/open-source.ts';
import { PredictionLines } from '../../../runtime/adapt/streams/prediction-lines.ts';
import { WorkerAdapter } from '../../../runtime/adapt/worker-adapter.ts';
import { UsageError } from '../../../runtime/errors.ts';
import { AdaptationGovernor } from '../../../runtime/governor/adaptation-governor.ts';
import { Governor } from '../../../runtime/governor/governor.ts';
import { bytesText } from '../../../runtime/plan/bytes-text.ts';
import { planReport } from '../../../runtime/plan/report.ts';
import { openLive } from '../../dashboard/open-live.ts';
import { ProfileEmitter } from '../../profiler/emit.ts';
import { AdaptationEmitter } from '../../profiler/emit-adaptation.ts';
import { followLabels, openKeys } from '../adapt-labels.ts';
import { sourceKind, sourceOptions } from '../adapt-options.ts';
import { adaptRequest, planAdapt, sideBySide, streamSettings } from '../adapt-plan.ts';
import { AdaptProgress, resultText } from '../adapt-progress.ts';
import { choiceFlag, type Flags, governorModes, textFlag } from '../flags.ts';
import { governorLine } from '../governor-text.ts';
import { asService, type ServiceStatus } from '../service-status.ts';

export function run([model = '']: readonly string[], flags: Flags): Promise<number> {
  if (flags.plan === true) return showPlan(adaptRequest(model, flags).options, flags);
  return asService((status) => adaptStream(model, flags, status));
}

async function adaptStream(model: string, flags: Flags, status: ServiceStatus | null): Promise<number> {
  const kind = sourceKind(flags);
  const { options, capacity, keep } = adaptRequest(model, flags);
  const progress = await AdaptProgress.open();
  using stop = new Signals(progress);
  stop.signal.addEventListener('abort', () => status?.stopping());
  const emitter = ProfileEmitter.open();
  await using live = await openLive('adapt', flags, emitter, (text) => progress.line(text));
  await using opened = await openAdapter(options, flags, kind);
  const { adapter, background } = opened;
  if (opened.note !== null) progress.line(opened.note);
  const { facts } = adapter;
  const wanted = choiceFlag(flags, 'governor', governorModes) !== 'off';
  using watched = Governor.open(wanted, (event) => {
    progress.line(governorLine(event));
    live?.governed(event);
  });
  const governor = watched && new AdaptationGovernor(watched, background);
  using profile = AdaptationEmitter.of(emitter, facts.plan);
  const exports = new Exports(options, flags, adapter, progress);
  stop.onExport = () => exports.write();
  const labelled = { classCount: adapter.classes, classes: facts.classNames, imageSize: adapter.imageSize, keep };
  const labels = new LateLabels(labelled);
  const { imageSize, method } = adapter;
  const feed = await live?.adaptation(facts.plan, { method, imageSize, labels: () => labels.counts() });
  await using keys = await openKeys(flags, labelled, labels, (text) => progress.line(text));
  const run = await openRun(options, flags, adapter, kind);
  const hooks = { onLabel: (message: unknown) => labels.add(message), stats: () => ({ labels: labels.counts() }) };
  const source = await openSource({
    ...sourceOptions(flags, hooks, run?.begun.next ?? 0),
    imageSize: adapter.imageSize,
  } as SourceOptions);
  if (kind === 'http') progress.line(`listening on ${source.name}`);
  const following = new AbortController();
  const followed = followLabels(textFlag(flags, 'labels'), labels, following.signal);
  const lines = new PredictionLines(process.stdout);
  status?.ready();
  try {
    const result = await runSession({
      ...{ source, adapter, background, lines, labels, capacity, run },
      ...(governor && { governor }),
      classNames: facts.classNames,
      ...streamSettings(flags, kind, background !== null),
      signal: stop.signal,
      onPredicted: (frame, prediction, logits) => {
        keys?.show(frame.index);
        feed?.predicted(frame, prediction, logits);
      },
      // Gives out the labels that could be taken back until now.
      onDrained: async () => keys?.[Symbol.asyncDispose](),
      onEvent: (event) => {
        if (event.kind === 'batch') status?.progress({ frames: event.counts.predicted, updates: event.counts.updated });
        progress.show(event);
        profile?.event(event);
        feed?.event(event);
      },
    });
    await exports.write();
    profile?.finished(result);
    if (feed) live?.end(feed.ended(result));
    progress.done();
    report(result, flags);
    if (result.failure !== null) throw result.failure;
    return 0;
  } finally {
    progress.done();
    following.abort();
    await followed;
  }
}

type SessionAdapter = WorkerAdapter | BackgroundAdapter;

interface OpenedAdapter extends AsyncDisposable {
  readonly adapter: SessionAdapter;
  readonly background: BackgroundAdapter | null;
  /** Why it is not as the default would be. */
  readonly note: string | null;
}

function openAdapter(options: AdaptOptions, flags: Flags, kind: SourceOptions['kind']): Promise<OpenedAdapter> {
  return sideBySide<OpenedAdapter>(flags, kind, options.method, {
    beside: async () => {
      const background = await BackgroundAdapter.open(options);
      const dispose = () => background[Symbol.asyncDispose]();
      return { adapter: background, background, note: null, [Symbol.asyncDispose]: dispose };
    },
    inTurn: async (note) => {
      const adapter = await WorkerAdapter.open(options);
      return { adapter, background: null, note, [Symbol.asyncDispose]: () => adapter[Symbol.asyncDispose]() };
    },
  });
}

async function openRun(
  options: AdaptOptions,
  flags: Flags,
  adapter: SessionAdapter,
  kind: SourceOptions['kind'],
): Promise<AdaptRun | null> {
  const folder = textFlag(flags, 'run');
  const resume = flags.resume === true;
  if (folder === undefined && resume) throw new UsageError('--resume needs --run <folder>');
  return folder === undefined
    ? null
    : AdaptRun.open(folder, options, adapter, { resume, replayable: kind === 'folder' });
}

/** Writes the files that were asked for, one writing at a time. */
class Exports {
  readonly #options: AdaptOptions;
  readonly #model: string | undefined;
  readonly #delta: string | undefined;
  readonly #adapter: SessionAdapter;
  readonly #progress: AdaptProgress;
  #last: Promise<void> = Promise.resolve();

  constructor(options: AdaptOptions, flags: Flags, adapter: SessionAdapter, progress: AdaptProgress) {
    this.#options = options;
    this.#model = textFlag(flags, 'export');
    this.#delta = textFlag(flags, 'exportDelta');
    this.#adapter = adapter;
    this.#progress = progress;
  }

  /** @throws DataError if the disk refuses */
  write(): Promise<void> {
    const writing = this.#last.then(() => this.#write());
    this.#last = writing.catch(() => undefined);
    return writing;
  }

  async #write(): Promise<void> {
    if (this.#model === undefined && this.#delta === undefined) return;
    const { facts } = this.#adapter;
    const learnt = await this.#adapter.learnt();
    if (this.#delta !== undefined) await writeAdaptedDelta(this.#delta, this.#options, facts, learnt);
    if (this.#model !== undefined) await writeAdaptedModel(this.#model, this.#options, facts, learnt);
    this.#progress.line(`wrote ${[this.#delta, this.#model].filter((path) => path !== undefined).join(' and ')}`);
    if (facts.plan.scheme.norms !== 'batch') return;
    this.#progress.line(
      `${facts.method} predicts with the statistics of each batch; what was written has the stored ones`,
    );
  }
}

/** SIGINT and SIGTERM end the stream, a second one the process; SIGUSR1 exports. */
class Signals implements Disposable {
  readonly #controller = new AbortController();
  readonly #progress: AdaptProgress;
  readonly #stop = (signal: NodeJS.Signals): void => {
    this.#progress.line(`${signal}: handling the frames that wait and saving the state`);
    this.#controller.abort();
  };
  readonly #export = (): void => {
    this.onExport().catch((error: Error) => this.#progress.line(`could not export: ${error.message}`));
  };
  onExport: () => Promise<void> = async () => undefined;

  constructor(progress: AdaptProgress) {
    this.#progress = progress;
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, this.#stop);
    process.on('SIGUSR1', this.#export);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, this.#stop);
    process.off('SIGUSR1', this.#export);
  }
}

function report(result: SessionResult, flags: Flags): void {
  if (flags.json === true) {
    const { failure: _, ...counts } = result;
    const maxRssBytes = process.resourceUsage().maxRSS * 1024;
    process.stderr.write(`${JSON.stringify({ ...counts, maxRssBytes })}\n`);
  } else process.stderr.write(resultText(result));
}

async function showPlan(options: AdaptOptions, flags: Flags): Promise<number> {
  const sides = await planAdapt(options, flags, 'folder');
  const { method, plan } = sides.adapter;
  const beside = sides.predictor?.plan;
  if (flags.json === true) console.log(JSON.stringify({ method, plan, predictor: beside ?? null }));
  else {
    process.stdout.write(`method: ${method}\n${planReport(plan)}`);
    if (beside) {
      console.log(
        `Beside it, in its base: a predictor with an arena of ${bytesText(beside.arenaBytes)}, ${beside.microBatch} frames a pass`,
      );
    }
  }
  return 0;
}
