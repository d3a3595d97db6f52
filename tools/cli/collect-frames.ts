/** @file `edgeshift train --collect-only`: labels frames until the source ends, a signal comes or there is enough. */
import { openModel } from '../../models/onnx/open-model.ts';
import { openSource, type SourceOptions } from '../../runtime/adapt/streams/open-source.ts';
import { UsageError } from '../../runtime/errors.ts';
import { ClassFolders } from '../../runtime/train/collect/class-folders.ts';
import { collectedClasses } from '../../runtime/train/collect/class-names.ts';
import { Collector } from '../../runtime/train/collect/collector.ts';
import { sourceKind, sourceOptions } from './adapt-options.ts';
import { collectKeys, collectLines } from './collect-labels.ts';
import { CollectProgress, resultText } from './collect-progress.ts';
import { countFlag, type Flags, given, listFlag, textFlag } from './flags.ts';

export async function collectFrames(model: string, folder: string, flags: Flags): Promise<number> {
  const kind = sourceKind(flags, '--collect');
  checkLabelling(kind, flags);
  const keep = countFlag(flags, 'keepLabels', 1) ?? 1;
  const perClass = countFlag(flags, 'collectPerClass', 1) ?? null;
  const { imageSize, classes: own } = await openModel(model, given({ imageSize: countFlag(flags, 'imageSize', 1) }));
  const classes = await collectedClasses(folder, listFlag(flags, 'classes') ?? null, own);
  const folders = await ClassFolders.open(folder, classes);
  const progress = await CollectProgress.open(kind === 'folder');
  using stop = new StopSignals((why) => progress.line(`${why}: collecting ends`));
  const collector = new Collector({ folders, imageSize, keep, perClass });
  await using keys = await collectKeys(flags, { classes, keep }, collector, (text) => progress.line(text));
  const hooks = { onLabel: (message: unknown) => collector.add(message), stats: () => collector.counts() };
  const source = await openSource({ ...sourceOptions(flags, hooks, 0), imageSize } as SourceOptions);
  if (kind === 'http') progress.line(`listening on ${source.name}`);
  await using lines = collectLines(textFlag(flags, 'labels'), collector);
  try {
    const result = await collector.run(source, {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.kind === 'frame') keys?.show(event.frame.index);
        progress.show(event, collector.counts().images);
      },
      onDrained: async () => {
        await keys?.[Symbol.asyncDispose]();
        await lines[Symbol.asyncDispose]();
      },
    });
    progress.done();
    process.stderr.write(resultText(result));
    if (flags.json === true) console.log(JSON.stringify({ folder, ...result }));
    return 0;
  } finally {
    progress.done();
  }
}

/** @throws UsageError if nothing could ever label a frame */
function checkLabelling(kind: SourceOptions['kind'], flags: Flags): void {
  const hasKeys = textFlag(flags, 'labelKeys') !== undefined;
  if (kind === 'folder' && !hasKeys) {
    throw new UsageError('--collect waits for a key at each image of a folder: it needs --label-keys <mapping>');
  }
  if (hasKeys || kind === 'http' || textFlag(flags, 'labels') !== undefined) return;
  throw new UsageError(
    '--collect needs something that labels: --label-keys <mapping>, --labels <file>, or --source http, which takes labels',
  );
}

/** SIGINT, SIGTERM or the end of the process that started this one end the collection; a second signal ends the process. */
class StopSignals implements Disposable {
  readonly #controller = new AbortController();
  readonly #signals = ['SIGINT', 'SIGTERM'] as const;
  readonly #onStop: (why: string) => void;
  readonly #stop = (signal: NodeJS.Signals): void => this.#end(signal);
  readonly #disconnected = (): void => this.#end('asked to stop');

  constructor(onStop: (why: string) => void) {
    this.#onStop = onStop;
    for (const name of this.#signals) process.once(name, this.#stop);
    process.once('disconnect', this.#disconnected);
    // Listening for its end must not keep this process alive.
    process.channel?.unref();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  #end(why: string): void {
    if (this.#controller.signal.aborted) return;
    this.#onStop(why);
    this.#controller.abort();
  }

  [Symbol.dispose](): void {
    for (const name of this.#signals) process.off(name, this.#stop);
    process.off('disconnect', this.#disconnected);
  }
}
