// The header's content. Widths at which the layout changes stand in cards.py and tokens.md alike.
const STYLE = `
.header { display: flex; width: 100%; align-items: center; gap: 12px; min-width: 0; color: var(--ink);
  font: 400 var(--fs-small)/1.3 var(--font); font-variant-numeric: tabular-nums; }
.header svg.logo { width: 28px; height: 28px; flex: none; }
.header h1 { font-size: var(--fs-page); font-weight: 600; margin: 0; letter-spacing: -.01em; }
.header .sub { font-size: var(--fs-caption); color: var(--ink-2); }
.header :is(h1, .sub) { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.header .names { flex: 1 1 auto; min-width: 0; }
.chip { display: flex; align-items: center; gap: 8px; height: 34px; padding: 0 14px; white-space: nowrap; flex: none;
  border: 1px solid var(--hair); border-radius: 999px; background: var(--sunken); color: var(--ink-2); }
.chip b { color: var(--ink); font-weight: 600; }
.chip i { width: 8px; height: 8px; border-radius: 50%; background: var(--ink-3); }
.chip.done i { background: var(--ok); } .chip.failed i { background: var(--error); }
.chip.canceled i { background: var(--warn); }
.chip.running i { background: var(--ink); animation: pulse 1.2s steps(4) infinite alternate; }
/* In steps: what changes in each frame keeps a core busy where there is no GPU, all through a run. */
@keyframes pulse { to { opacity: .25; } }
.chip button { display: none; width: 28px; height: 28px; margin: 0 -10px 0 -2px; padding: 0; border: 0; border-radius: 50%;
  background: none; color: var(--ink-2); font: 400 18px/1 var(--font); cursor: pointer; }
.chip button:hover { background: var(--press); color: var(--ink); }
.chip.running button { display: block; }
.inline { position: relative; } .inline + .line { position: absolute; top: auto; bottom: -11px; }
.line { position: fixed; left: 0; right: 0; top: calc(var(--header-h) - 2px); height: 3px; pointer-events: none;
  transform-origin: left; background: var(--ink); opacity: 0; }
.line.running { opacity: 1; }
@media (max-width: 600px) { .more, svg.logo { display: none; } }
@media (prefers-reduced-motion: reduce) { .chip.running i { animation: none; } }
`;
const LOGO = `<svg class="logo" viewBox="0 0 28 28" fill="none" stroke="currentColor" aria-hidden="true">
  <ellipse cx="14" cy="14" rx="12" ry="11" stroke-width="1.4" opacity=".4"/>
  <ellipse cx="14.5" cy="14" rx="7.6" ry="7" stroke-width="1.7" opacity=".7"/>
  <circle cx="15" cy="14" r="3.4" fill="var(--here)" stroke="none"/></svg>`;

// Bokeh 3.9 takes what the server has added to the page for its own until it has written to the server once, and then
// describes it anew. The server refuses such a message: the first click on a new button would be lost.
function keepApart(document) {
  if (document.keptApart) return;
  document.keptApart = true;
  const apply = document.apply_json_patch.bind(document);
  document.apply_json_patch = (...patch) => {
    const own = new Set(document._new_models);
    apply(...patch);
    for (const model of document._new_models) if (!own.has(model)) document._new_models.delete(model);
  };
}

export function render({ model, el, view }) {
  keepApart(view.model.document);
  el.innerHTML = `<style>${STYLE}</style><div class="header ${model.inline ? 'inline' : ''}">${LOGO}<div class="names"><h1>Loss landscape</h1>
    <div class="sub"></div></div><div class="chip" role="status"><i></i><b></b><span class="more"></span>
    <button aria-label="Cancel the run" title="Cancel the run">×</button></div></div><div class="line"></div>`;
  const [sub, chip, word, more, cancel, line] =
    ['.sub', '.chip', '.chip b', '.more', 'button', '.line'].map((s) => el.querySelector(s));

  function write() {
    sub.textContent = model.subtitle;
    chip.className = `chip ${model.phase}`;
    [word.textContent, more.textContent] = [model.word, model.more];
    line.className = `line ${model.phase}`;
    line.style.transform = `scaleX(${model.share})`;
  }
  const paint = () => { document.documentElement.dataset.theme = model.dark ? 'dark' : 'light'; };
  const room = matchMedia('(max-width: 1100px)');
  const measure = () => {
    model.narrow = room.matches;
    document.documentElement.dataset.measured = '';
  };
  cancel.addEventListener('click', () => { model.cancel += 1; });
  for (const name of ['subtitle', 'phase', 'word', 'more', 'share']) model.on(name, write);
  write();
  if (model.inline) return; // in a notebook the document is not ours
  model.on('dark', paint);
  room.addEventListener('change', measure);
  model.on('remove', () => room.removeEventListener('change', measure));
  paint();
  measure();
  model.night = matchMedia('(prefers-color-scheme: dark)').matches;
}
