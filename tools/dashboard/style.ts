/** @file What the live page has beyond the style sheet of reports. */

export const liveStyle = `
.state{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem 1rem;margin:.25rem 0 0}
.state p{margin:0}
.dot{display:inline-block;width:.7em;height:.7em;margin-right:.45em;border-radius:50%;background:var(--muted)}
.dot.good{background:var(--good)}.dot.bad{background:var(--bad);border-radius:0}
fieldset{border:0;margin:0;padding:0;display:flex;gap:.25rem 1.25rem;flex-wrap:wrap;font-size:.875rem}
fieldset label{display:flex;align-items:center;gap:.45rem;padding:.35rem 0;cursor:pointer}
legend{float:left;padding:.35rem 1.25rem .35rem 0;color:var(--muted)}
.live .plot{height:15rem}
.now{color:var(--muted);font-size:.875rem;font-variant-numeric:tabular-nums;min-height:1.5em}
.live h2{margin-top:2rem}
.frames{list-style:none;margin:0;padding:0;display:grid;gap:1px;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr))}
.frames li{display:flex;flex-direction:column;gap:.3rem;padding:.6rem;background:var(--panel);font-size:.8125rem;line-height:1.35;min-width:0}
.frames img{width:72px;height:72px;object-fit:contain;background:var(--rule)}
.frames strong{font-size:.9375rem}
.frames span{color:var(--muted);font-variant-numeric:tabular-nums}
.frames .changed{color:var(--ink)}
.log{list-style:none;margin:0;padding:0;max-height:22rem;overflow-y:auto;font-size:.875rem}
.log li{display:grid;grid-template-columns:4.5rem minmax(0,1fr) auto;gap:0 .75rem;padding:.38rem .25rem;border-bottom:1px solid var(--rule)}
.log time,.log .times{color:var(--muted);font-variant-numeric:tabular-nums}
.log .bad::before{content:"! ";font-weight:700}
[hidden]{display:none!important}
@media (max-width:34rem){
.live .plot{height:12rem}
.figures{grid-template-columns:repeat(2,minmax(0,1fr))}
.figures dd{font-size:1.1rem}
.log li{grid-template-columns:3.75rem minmax(0,1fr) auto}
}
`;
