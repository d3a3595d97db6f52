/** @file Fewer rows of a long series, without losing its peaks. */

/** Values that were measured at one moment, one for each line. */
export interface Row {
  readonly at: number;
  readonly values: readonly (number | null)[];
}

/**
 * About `most` rows at most: of each stretch those where some line is highest or lowest, in their order, with the first and the
 * last of all. Values are never averaged, so every peak stays what it was.
 */
export function thinned(rows: readonly Row[], most = 1000): readonly Row[] {
  if (rows.length <= most) return rows;
  const lines = rows[0]?.values.length ?? 0;
  const stretches = Math.max(1, Math.floor(most / Math.max(1, 2 * lines)));
  const kept = new Set([0, rows.length - 1]);
  for (let stretch = 0; stretch < stretches; stretch++) {
    const from = Math.floor((stretch * rows.length) / stretches);
    const end = Math.floor(((stretch + 1) * rows.length) / stretches);
    for (let line = 0; line < lines; line++) {
      for (const place of extremes(rows, line, from, end)) kept.add(place);
    }
  }
  return [...kept].sort((a, b) => a - b).map((place) => rows[place] as Row);
}

/** Places of a line's highest and lowest value in a stretch; none if nothing was measured in it. */
function extremes(rows: readonly Row[], line: number, from: number, end: number): readonly number[] {
  let [highest, lowest] = [-1, -1];
  const value = (place: number): number => rows[place]?.values[line] ?? 0;
  for (let place = from; place < end; place++) {
    if ((rows[place]?.values[line] ?? null) === null) continue;
    if (highest < 0 || value(place) > value(highest)) highest = place;
    if (lowest < 0 || value(place) < value(lowest)) lowest = place;
  }
  return highest < 0 ? [] : [highest, lowest];
}
