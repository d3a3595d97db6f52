/** @file The live page: HTML with its scripts and its style in it, which asks this server for events and nobody for anything else. */

import { type Html, html } from '../profiler/report/html.ts';
import { clientText, hashSource, libraryText } from '../profiler/report/page.ts';
import { section } from '../profiler/report/sections.ts';
import { styleSheet } from '../profiler/report/style.ts';
import { bundled } from './bundle.ts';
import { type LiveChart, limitKeys, liveCharts } from './charts.ts';
import { liveStyle } from './style.ts';
import type { Run } from './tick.ts';

export interface LivePage {
  readonly html: Buffer;
  /** Content-Security-Policy it is to be sent with. */
  readonly policy: string;
}

/** Chart.js, what draws limits, and the page's own script, whose parts are compiled modules. */
function scripts(): readonly [library: string, ...own: string[]] {
  const marks = clientText(new URL('../profiler/report/client-marks.js', import.meta.url).href);
  return [libraryText(), marks, bundled()];
}

export function livePage(run: Run): LivePage {
  const [library, ...own] = scripts();
  const style = styleSheet + liveStyle;
  const title = `edgeshift ${run.kind}`;
  const text = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body class="live">
${body(run).markup}
<script>${library}</script>
${own.map((script) => `<script type="module">${script}</script>`).join('\n')}
</body>
</html>
`;
  return { html: Buffer.from(text), policy: policy([library, ...own], style) };
}

/** These scripts and this style alone; events of this server, pictures out of events; in no frame. */
function policy(texts: readonly string[], style: string): string {
  return [
    "default-src 'none'",
    `script-src ${texts.map(hashSource).join(' ')}`,
    `style-src ${hashSource(style)}`,
    'img-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

function body({ kind, command }: Run): Html {
  const words = ['edgeshift', ...command];
  return html`<header>
<p class="command"><code>${words.map((word) => html`<span>${word}</span> `)}</code></p>
<h1 id="headline">${kind === 'train' ? 'Training' : 'Adapting'}</h1>
<div class="state"><p role="status"><span class="dot" id="dot"></span><span id="connection">connecting</span></p><p id="phase"></p></div>
<noscript><p>This page is drawn by its script, which this browser does not run.</p></noscript>
<dl class="figures" id="figures"></dl>
</header>
<main>
<section aria-labelledby="charts-title"><h2 id="charts-title">Over time</h2>
<fieldset><legend>Shown</legend>
<label><input type="radio" name="range" value="recent" checked>the last four minutes</label>
<label><input type="radio" name="range" value="whole">the whole run</label>
</fieldset>
<div class="grid two">
${liveCharts[kind].map(chartFigure)}</div>
</section>
${kind === 'adapt' ? framesSections() : null}
${section('What happened', html`<ol class="log" id="log" tabindex="0" role="log" aria-live="off" aria-label="What happened, newest first"></ol>`)}
</main>
<footer><p>1 MiB is 1,048,576 bytes. For Prometheus: /metrics.</p></footer>`;
}

function chartFigure({ id, title, unit, lines, limits }: LiveChart): Html {
  const keys = lines.map(({ label, colour, field }) => ({ label, look: `line k${colour}`, of: field }));
  const rules = limits ? limitKeys.map(({ label, drawn }) => ({ label, look: drawn, of: label })) : [];
  const items = [...keys, ...rules].map(
    ({ label, look, of }) => html`<li data-of="${of}" hidden><span class="key ${look}"></span>${label}</li>`,
  );
  return html`<figure aria-labelledby="${id}-title">
<figcaption><h3 id="${id}-title">${title}${unit === '' ? '' : ` (${unit})`}</h3></figcaption>
<ul class="legend" id="${id}-legend">${items}</ul>
<div class="plot"><canvas id="${id}" role="img" aria-labelledby="${id}-title ${id}-now"></canvas></div>
<p class="now" id="${id}-now">nothing measured yet</p>
</figure>
`;
}

/** Frames, and how often what was decided and predicted. */
function framesSections(): Html {
  const counted = (id: string, title: string, what: string): Html =>
    html`<div class="scroll" tabindex="0" role="region" aria-label="${title}"><table><caption hidden>${title}</caption>
<thead><tr><th scope="col">${what}</th><th scope="col" class="number">Frames</th><th scope="col" class="number">Share</th></tr></thead>
<tbody id="${id}"></tbody></table></div>
`;
  return html`${section('Last frames', html`<ul class="frames" id="frames"></ul><p class="note" id="no-frames">No frame has been predicted yet.</p>`)}
${section(
  'Decisions and predictions',
  html`<div class="grid two">${counted('reasons', 'Decisions by reason', 'Reason')}${counted('classes', 'Predicted classes', 'Predicted class')}</div>`,
)}`;
}
