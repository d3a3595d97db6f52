/** @file How the pages look: one palette for light and one for dark, and the style sheet. */

/** Colours of a page. Text has a contrast of at least 4.5 with both grounds, what is drawn of at least 3. */
export interface Palette {
  readonly ground: string;
  /** Behind figures and tables. */
  readonly panel: string;
  readonly ink: string;
  readonly muted: string;
  readonly rule: string;
  readonly good: string;
  readonly bad: string;
  /**
   * Of series, by `Colour`: blue, vermilion, green, purple, ochre, cyan, grey. Hues that stay apart for colour-blind eyes, with
   * different lightness; lines and shapes carry the difference as well.
   */
  readonly series: readonly string[];
}

export const palettes: { readonly light: Palette; readonly dark: Palette } = {
  light: {
    ground: '#ffffff',
    panel: '#f6f7f9',
    ink: '#1a1f26',
    muted: '#556070',
    rule: '#d5dae1',
    good: '#0b6b43',
    bad: '#b3261e',
    series: ['#0a62b8', '#c25100', '#0b8061', '#7d3c98', '#8a6d00', '#127c93', '#6b7480'],
  },
  dark: {
    ground: '#11151b',
    panel: '#191f27',
    ink: '#e7eaee',
    muted: '#a2acb8',
    rule: '#343c47',
    good: '#5fd39a',
    bad: '#ff8f85',
    series: ['#6db3ff', '#ff9a57', '#4fd0a4', '#d9a0f2', '#e0c341', '#5fcbe0', '#98a2ae'],
  },
};

function variables(palette: Palette): string {
  const { series, ...named } = palette;
  const colours = [...Object.entries(named), ...series.map((colour, at) => [`c${at}`, colour])];
  return colours.map(([name, colour]) => `--${name}:${colour}`).join(';');
}

const keys = palettes.light.series.map((_, at) => `.k${at}{--key:var(--c${at})}`).join('');

export const styleSheet = `
:root{color-scheme:light dark;${variables(palettes.light)}}
@media screen and (prefers-color-scheme:dark){:root{${variables(palettes.dark)}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:400 1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","Noto Sans","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
main,header,footer{max-width:70rem;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
header{padding-top:clamp(1.5rem,5vw,3.5rem)}
footer{padding-top:1rem;padding-bottom:3rem;color:var(--muted);font-size:.875rem}
h1,h2,h3{line-height:1.2;text-wrap:balance;margin:0}
h1{font-size:clamp(1.75rem,1.3rem + 2vw,2.6rem);font-weight:650;letter-spacing:-.015em;margin:.35rem 0 .75rem}
.good{color:var(--good)}.bad{color:var(--bad)}
h2{font-size:1.35rem;font-weight:650;letter-spacing:-.01em;margin:3rem 0 1rem;padding-top:1rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;font-weight:600}
p{margin:.25rem 0;max-width:68ch}
code,pre{font:.875rem/1.5 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.command{color:var(--muted);margin:0;max-width:none}
.command span{display:inline-block}
.run h2{font-size:1.15rem;margin:.5rem 0 .35rem;padding:0;border:0}
.lede p{font-size:1.0625rem}
pre{margin:1rem 0 0;padding:.75rem 1rem;background:var(--panel);border-left:3px solid var(--bad);white-space:pre-wrap;
max-height:20rem;overflow:auto}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.25rem,1fr));margin:1.75rem 1px 0 0;padding:0}
.figures div{border:1px solid var(--rule);margin:0 -1px -1px 0;padding:.7rem .85rem;display:flex;flex-direction:column-reverse;justify-content:flex-end}
.figures dt{color:var(--muted);font-size:.8125rem;line-height:1.3}
.figures dd{margin:0;font-size:1.3rem;font-weight:600;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.grid{display:grid;gap:1.25rem;grid-template-columns:minmax(0,1fr)}
@media (min-width:58rem){
.grid.two{grid-template-columns:repeat(2,minmax(0,1fr))}
.grid.two>:last-child:nth-child(odd){grid-column:1/-1}
.columns{columns:2;column-gap:2.5rem}
}
figure{margin:0;padding:1rem 1.1rem .8rem;background:var(--panel);min-width:0}
figcaption p,.note{color:var(--muted);font-size:.875rem}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.5rem 0 0;padding:0;font-size:.8125rem}
.legend li{display:flex;align-items:center;gap:.45rem}
.key{flex:none;width:.75rem;height:.75rem;background:var(--key,var(--ink))}
.key.line{width:1.25rem;height:3px}
.key.dashed,.key.dotted{width:1.5rem;height:0;background:none;border-top:2px dashed var(--ink)}
.key.dotted{border-top-style:dotted;border-top-width:3px}
.key.circle{border-radius:50%}
.key.triangle{clip-path:polygon(50% 0,100% 100%,0 100%)}
.key.rectRot{transform:rotate(45deg) scale(.8)}
${keys}
.plot{position:relative;height:20rem;margin-top:.6rem}
details{margin-top:.6rem;font-size:.875rem}
summary{cursor:pointer;color:var(--muted);padding:.3rem 0}
summary:hover{color:var(--ink)}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
.scroll{overflow-x:auto}
details .scroll{max-height:24rem;overflow:auto}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.4;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.38rem .75rem .38rem 0;border-bottom:1px solid var(--rule)}
th:last-child,td:last-child{padding-right:0}
thead th{color:var(--muted);font-weight:600;font-size:.8125rem}
tbody th{font-weight:400;min-width:7rem}
.number{text-align:right;white-space:nowrap}
thead .number{white-space:normal}
thead th{overflow-wrap:normal}
.heading th{font-weight:600;padding-top:1rem}
.facts{table-layout:fixed;margin-bottom:1.75rem;break-inside:avoid}
.facts tbody th,.facts thead td{width:11rem;color:var(--muted)}
.facts small{margin-left:.25rem;font-style:italic}
.facts caption{text-align:left;font-weight:600;padding:0 0 .3rem}
ul.missing{margin:0;padding-left:1.2rem;max-width:72ch}
@media (max-width:34rem){
figure{padding:.85rem .8rem .6rem;margin-inline:-.5rem}
.facts tbody th,.facts thead td{width:7.5rem}
th,td{padding-right:.5rem}
tbody th{min-width:5.5rem}
}
@media print{
@page{margin:14mm}
body{font-size:10pt}
main,header,footer{max-width:none;padding-inline:0}
h2{break-after:avoid;margin-top:1.5rem}
figure,table,.figures{break-inside:avoid}
figure{padding:.5rem 0;background:none}
.grid,.grid.two{display:block}
.plot{height:14rem}
.key{print-color-adjust:exact;-webkit-print-color-adjust:exact}
canvas{max-width:100%!important;height:auto!important}
details:not([open]){display:none}
pre,details .scroll{max-height:none}
}
`;
