"""How report pages look: on a screen, on a phone, on paper."""

# Colours are those of Okabe and Ito where they mean something, and nothing is said by
# colour alone. All letters have a contrast of 4.5 or more with what is behind them.
CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: auto; }
body {
  margin: 0 auto; padding: 0 1rem 3rem; max-width: 74rem; background: #fff;
  color: #1a1a1a; font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans",
    sans-serif;
  overflow-wrap: break-word;
}
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin: 1.5rem 0 .5rem; }
h2 {
  font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-top: .75rem;
  border-top: 2px solid #0072b2;
}
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p, ul { max-width: 46rem; }
a { color: #005a8e; }
a:focus-visible, .scroll:focus-visible {
  outline: 3px solid #d55e00; outline-offset: 2px;
}
.skip { position: absolute; left: -99rem; background: #fff; padding: .5rem; }
.skip:focus { left: 1rem; top: 0; z-index: 1; }
nav { border: 1px solid #8a8a8a; border-radius: 4px; padding: .25rem 1rem; }
nav ul { margin: .5rem 0; padding: 0; list-style: none; max-width: none;
  display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
nav a { display: inline-block; padding: .2rem 0; }
.name { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; max-width: 100%; }
table {
  border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
}
caption { text-align: left; font-weight: 600; padding: .25rem 0 .5rem; }
.title { display: block; position: sticky; left: 0; width: max-content;
  max-width: min(46rem, calc(100vw - 2.5rem)); }
caption .note { display: block; font-weight: 400; color: #4a4a4a; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #c4c4c4; text-align: left;
  vertical-align: top; }
thead th { border-bottom: 2px solid #4a4a4a; vertical-align: bottom; }
tbody th { font-weight: 600; }
td.number { white-space: nowrap; }
td.shaded { text-align: center; border: 1px solid #fff; white-space: nowrap; }
td .name, th .name { overflow-wrap: break-word; }
.share { display: block; font-size: .85em; }
.headline { font-size: 1.1rem; font-weight: 600; }
.interval, .constant { display: block; font-size: .92em; color: #4a4a4a; }
.value { overflow-wrap: break-word; }
.missing, .warning {
  border-left: 4px solid #d55e00; padding: .4rem .8rem; background: #fdf3ec;
}
figure { margin: 1rem 0; max-width: 100%; }
img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: .9rem; color: #4a4a4a; max-width: 46rem; }
.sheet { display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: flex-start; }
.sheet > .scroll { flex: 0 1 auto; margin: .5rem 0; }
.sheet figure { margin: .25rem 0; flex: 0 1 auto; }
footer { margin-top: 3rem; border-top: 1px solid #8a8a8a; color: #4a4a4a;
  font-size: .9rem; }
@media (max-width: 40rem) {
  body { padding: 0 .75rem 2rem; }
  h1 { font-size: 1.35rem; }
  h2 { font-size: 1.15rem; }
  th, td { padding: .3rem .4rem; }
  .pairs th { overflow-wrap: anywhere; }
  .pairs tbody th { min-width: 8rem; }
}
@page { size: A4; margin: 14mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 9.5pt; }
  nav, .skip { display: none; }
  a { color: inherit; text-decoration: none; }
  h2 { margin-top: 1.2rem; }
  h1, h2, h3, caption { break-after: avoid; }
  tr, figure, .missing, .warning { break-inside: avoid; }
  thead, caption { break-after: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; max-width: 100%; }
  th, td { padding: 1.5pt 3pt; }
  td .name, th .name, .value { overflow-wrap: anywhere; }
  .short { break-inside: avoid; }
  tbody tr:first-child { break-before: avoid; }
  .title { position: static; width: auto; max-width: 170mm; }
  td.number { white-space: normal; }
  td.shaded { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  .sheet { display: block; }
  .sheet > .scroll { display: inline-block; vertical-align: top; margin-right: 6mm; }
  .sheet figure { display: inline-block; width: 31%; margin-right: 1.5%; }
  .sheet figure.wide { width: 48%; }
  figure:not(.sheet figure) { max-width: 120mm; }
}
"""
