/** @file The live page: listens to its server and shows what it hears. Runs in the browser. */
import { DashboardState } from '../state.ts';
import type { Snapshot, Tick } from '../tick.ts';
import type { EventStream, MediaQuery, PageDocument } from './browser.ts';
import { View } from './view.ts';

declare const document: PageDocument;
declare const EventSource: new (address: string) => EventStream;
declare function matchMedia(query: string): MediaQuery;
declare function setInterval(work: () => void, millis: number): unknown;
declare function setTimeout(work: () => void, millis: number): unknown;

/** Ticks come twice a second: longer silence means that nobody is there, though the connection may not know yet. */
const SILENCE_MILLIS = 15_000;
const CLOSED = 2;
/** Between two drawings, however fast ticks come. */
const DRAW_MILLIS = 250;
/** Until a closed stream is opened anew; a lost one opens itself. */
const REOPEN_MILLIS = 5000;

const view = new View();
let state: DashboardState | null = null;
let stream: EventStream | null = null;
let heardAt = performance.now();
let openedAt = 0;
let drawnAt = 0;
/** Whether something new is to be drawn soon. */
let isDue = false;

/** Nothing is drawn that nobody sees. */
function show(): void {
  drawnAt = performance.now();
  if (state && !document.hidden) view.show(state);
}

function showSoon(): void {
  if (isDue) return;
  isDue = true;
  const draw = (): void => {
    isDue = false;
    show();
  };
  setTimeout(draw, Math.max(0, drawnAt + DRAW_MILLIS - performance.now()));
}

function begin(snapshot: Snapshot): void {
  state = new DashboardState(snapshot);
  view.begin(state);
  heard();
}

function take(tick: Tick): void {
  state?.take(tick);
  heard();
}

function heard(): void {
  heardAt = performance.now();
  view.connection(state?.ended ? 'closed' : 'live');
  if (state?.ended) stream?.close();
  showSoon();
}

function listen(): void {
  stream?.close();
  openedAt = performance.now();
  stream = new EventSource('/events');
  stream.addEventListener('snapshot', ({ data }) => begin(JSON.parse(data) as Snapshot));
  stream.addEventListener('tick', ({ data }) => take(JSON.parse(data) as Tick));
  stream.onerror = lost;
}

function lost(): void {
  if (!state?.ended) view.connection('lost');
}

/** A server that refused, or was gone for long, is asked again. */
function watch(): void {
  if (state?.ended) return;
  const now = performance.now();
  if (now - heardAt > SILENCE_MILLIS) lost();
  const isDeaf = stream?.readyState === CLOSED || now - heardAt > SILENCE_MILLIS;
  if (isDeaf && now - openedAt > REOPEN_MILLIS) listen();
}

function redraw(): void {
  if (state) view.redraw(state.run.kind);
  show();
}

for (const radio of document.querySelectorAll('input[name=range]')) radio.addEventListener('change', show);
document.addEventListener('visibilitychange', show);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
setInterval(watch, 1000);
listen();
