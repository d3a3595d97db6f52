/** @file Giving memory back that V8 would keep, because it does not see how large the bytes behind small objects are. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options?: { readonly type: 'minor' }) => void;

let collect: Collect | undefined;

/** `major` collects everything (some milliseconds), `minor` what died young (well below one). */
export function releaseGarbage(type: 'minor' | 'major' = 'major'): void {
  if (!collect) {
    setFlagsFromString('--expose-gc');
    // Freed at once, not by a helper thread whenever a busy machine lets it run.
    setFlagsFromString('--no-concurrent-array-buffer-sweeping');
    collect = runInNewContext('gc') as Collect;
  }
  // Node 20 takes an explicit `major` for `minor`: the full collection is the one without options.
  if (type === 'minor') collect({ type });
  else collect();
}

/** Collects garbage whenever so many bytes of it have come together. */
export class GarbageMeter {
  readonly #limitBytes: number;
  #bytes = 0;

  readonly #type: 'minor' | 'major';

  /** @param type `minor` for what dies young, such as results of a synchronous call; `major` for what crosses threads */
  constructor(limitBytes: number, type: 'minor' | 'major') {
    this.#limitBytes = limitBytes;
    this.#type = type;
  }

  /** Counts bytes that nobody will read again. */
  drop(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#limitBytes) return;
    this.#bytes = 0;
    releaseGarbage(this.#type);
  }
}
