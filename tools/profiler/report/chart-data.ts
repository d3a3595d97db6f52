/** @file What a chart shows, as plain data: made here, drawn by client.ts in the page. */

/** Place in the palette of style.ts. */
export type Colour = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** A line across the whole chart at one value, such as a cap. Told apart by how it is drawn. */
export interface Rule {
  readonly label: string;
  readonly value: number;
  readonly drawn: 'dashed' | 'dotted';
}

/** Something that happened at a place of the x axis. */
export interface Moment {
  readonly at: number;
  readonly label: string;
}

/** Lines over time. */
export interface LineChart {
  readonly kind: 'lines';
  /** Titles of the axes, with units. */
  readonly x: string;
  readonly y: string;
  /** Of values, in tooltips. */
  readonly unit: string;
  /** Where the axes end at least. */
  readonly end: number;
  readonly most: number;
  readonly at: readonly number[];
  readonly lines: readonly {
    readonly label: string;
    readonly colour: Colour;
    /** One for each of `at`; null: not measured then, and the line goes on to the next. */
    readonly values: readonly (number | null)[];
  }[];
  readonly rules: readonly Rule[];
  readonly moments: readonly Moment[];
}

/** Horizontal bars, a row for each label. */
export interface BarChart {
  readonly kind: 'bars';
  readonly x: string;
  readonly unit: string;
  readonly labels: readonly string[];
  readonly bars: readonly {
    readonly label: string;
    /** One for all rows, or one for each. */
    readonly colour: Colour | readonly Colour[];
    /** Length from 0, or from where to where. */
    readonly values: readonly (number | readonly [number, number])[];
  }[];
  readonly stacked: boolean;
  readonly rules: readonly Rule[];
}

/** Points between two logarithmic axes. */
export interface CloudChart {
  readonly kind: 'cloud';
  readonly x: string;
  readonly y: string;
  readonly groups: readonly {
    readonly label: string;
    readonly colour: Colour;
    readonly shape: Shape;
    readonly points: readonly { readonly x: number; readonly y: number; readonly name: string }[];
  }[];
  /** Corners of the line nothing can lie above; empty if it is not known. */
  readonly roof: readonly (readonly [x: number, y: number])[];
}

export type Shape = 'circle' | 'triangle' | 'rect' | 'rectRot';

export type ChartData = LineChart | BarChart | CloudChart;
