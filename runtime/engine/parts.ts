/** @file Images in runs that fit a pass. */

/** Where a run begins, and how many images it has. */
export type Part = readonly [from: number, n: number];

/** Full runs and a rest. */
export function* parts(count: number, size: number): Generator<Part> {
  for (let from = 0; from < count; from += size) yield [from, Math.min(size, count - from)];
}

/** As few runs of at most `most` images as can be, all of about one size: a lone last image costs nearly as much as several. */
export function* evenParts(count: number, most: number): Generator<Part> {
  const runs = Math.ceil(count / most);
  const start = (run: number): number => Math.round((run * count) / runs);
  for (let run = 0; run < runs; run++) yield [start(run), start(run + 1) - start(run)];
}
