/** @file Puts a state into the page. Runs in the browser. */
import { liveCharts } from '../charts.ts';
import { figureTexts } from '../figures.ts';
import type { DashboardState } from '../state.ts';
import type { Ended } from '../tick.ts';
import type { PageDocument } from './browser.ts';
import { LiveLineChart, setChartDefaults } from './line-chart.ts';
import { FigureList, FrameList, LogList, showCounts } from './lists.ts';

declare const document: PageDocument;

export type Connection = 'connecting' | 'live' | 'lost' | 'closed';

const words: Readonly<Record<Connection, string>> = {
  connecting: 'connecting',
  live: 'live',
  lost: 'connection lost, trying again; what is shown is what was last heard',
  closed: 'the run has ended',
};

const headlines: Readonly<Record<Ended['outcome'], string>> = {
  finished: 'Finished',
  interrupted: 'Interrupted',
  failed: 'Failed',
};

export class View {
  readonly #figures = new FigureList();
  readonly #log = new LogList();
  #frames: FrameList | null = null;
  #charts: readonly LiveLineChart[] = [];
  #connection: Connection | null = null;

  /** Another run, or the same after a lost connection. */
  begin({ run }: DashboardState): void {
    this.#log.clear();
    this.#frames ??= run.kind === 'adapt' ? new FrameList() : null;
    this.#frames?.clear();
    this.redraw(run.kind);
  }

  /** Makes the charts anew, in the colours that now hold. */
  redraw(kind: DashboardState['run']['kind']): void {
    for (const chart of this.#charts) chart.destroy();
    setChartDefaults();
    this.#charts = liveCharts[kind].map((chart) => new LiveLineChart(chart));
  }

  show(state: DashboardState): void {
    const { status, ended, newest } = state;
    const isWhole = document.querySelector('input[name=range]:checked')?.value === 'whole';
    const points = isWhole ? state.whole() : state.recent();
    for (const chart of this.#charts) chart.show(points, status);
    this.#figures.show(figureTexts(status, newest));
    this.#log.show(state.log());
    this.#frames?.show(state.frames());
    const { adaptation } = status;
    if (this.#frames && adaptation) {
      showCounts('reasons', Object.entries(adaptation.reasons), adaptation.predicted);
      showCounts('classes', adaptation.classes, adaptation.predicted);
    }
    document.getElementById('phase').textContent = ended?.text ?? status.phase;
    if (ended) {
      const headline = document.getElementById('headline');
      headline.textContent = headlines[ended.outcome];
      headline.className = ended.outcome === 'finished' ? 'good' : ended.outcome === 'failed' ? 'bad' : '';
      document.title = `${headlines[ended.outcome]}: edgeshift ${state.run.kind}`;
    }
  }

  /** Told to those who listen, too, so only where it is another than before. */
  connection(connection: Connection): void {
    if (this.#connection === connection) return;
    this.#connection = connection;
    document.getElementById('connection').textContent = words[connection];
    document.getElementById('dot').className =
      `dot ${connection === 'live' ? 'good' : connection === 'lost' ? 'bad' : ''}`;
  }
}
