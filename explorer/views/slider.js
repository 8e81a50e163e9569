// The slider along a track. Its thumb's center travels from the plot's left frame to its right one; Play moves it along.
const STYLE = `
.path { position: relative; height: 52px; font: 400 var(--fs-caption, 12px)/1.2 var(--font, sans-serif);
  font-variant-numeric: tabular-nums;
  --rail: linear-gradient(var(--here, #c9156b), var(--here, #c9156b)) 10px 0 / var(--done, 50%) 100% no-repeat,
    linear-gradient(var(--edge, #828b95), var(--edge, #828b95)) 10px 0 / calc(100% - 20px) 100% no-repeat; }
.path input { position: absolute; top: 2px; height: 28px; margin: 0; appearance: none; background: none;
  cursor: pointer; outline: none; }
.path input::-webkit-slider-runnable-track { height: 4px; background: var(--rail); }
.path input::-webkit-slider-thumb { appearance: none; box-sizing: border-box; width: 20px; height: 20px;
  margin-top: -8px; border: 3px solid var(--card, #fff); border-radius: 50%; background: var(--here, #c9156b);
  box-shadow: 0 0 0 1.5px var(--here, #c9156b), 0 1px 3px rgb(0 0 0 / .3); }
.path input::-moz-range-track { height: 4px; background: var(--rail); }
.path input::-moz-range-thumb { box-sizing: border-box; width: 20px; height: 20px; border: 3px solid var(--card, #fff);
  border-radius: 50%; background: var(--here, #c9156b); box-shadow: 0 0 0 1.5px var(--here, #c9156b); }
.path input:focus-visible::-webkit-slider-thumb {
  box-shadow: 0 0 0 1.5px var(--here, #c9156b), 0 0 0 3.5px var(--card, #fff), 0 0 0 6px var(--ink, #14181d); }
.path input:focus-visible::-moz-range-thumb {
  box-shadow: 0 0 0 1.5px var(--here, #c9156b), 0 0 0 3.5px var(--card, #fff), 0 0 0 6px var(--ink, #14181d); }
.path span { position: absolute; top: 33px; color: var(--ink-2, #48515b); white-space: nowrap; }
.path button { position: absolute; left: 4px; top: 0; width: 32px; height: 32px; padding: 0; border: 0; border-radius: 50%;
  cursor: pointer; background: var(--ink, #14181d); color: var(--on-ink, #fff); transition: opacity var(--t-hover, .12s); }
.path button:hover { opacity: .88; }
.path button:focus-visible { outline: 2px solid var(--ink, #14181d); outline-offset: 2px; }
.path button svg { display: block; margin: auto; fill: currentColor; }
.path .now { transform: translateX(-50%); color: var(--here, #c9156b); font-weight: 600;
  font-size: var(--fs-small, 13px); }
.path .back { display: none; left: auto; top: 30px; width: auto; height: 20px; padding: 0 6px; border-radius: 4px;
  background: none; color: var(--here, #c9156b); font: 600 var(--fs-small, 13px)/20px var(--font, sans-serif);
  white-space: nowrap; transform: translateX(-50%); text-decoration: underline; text-underline-offset: 2px; }
.path.away .back { display: block; } .path.away .now { visibility: hidden; }
.path.away input::-webkit-slider-thumb { background: var(--card, #fff); }
.path.away input::-moz-range-thumb { background: var(--card, #fff); }
`;
const THUMB = 20, NARROW = 560, PAGE = 5;
const STEP = 0.25, TICK = 1000 / 17; // the fastest that an eye still follows; stop by stop where motion is unwanted
const STOP_TICK = 500;
const ICONS = { play: 'M5 2.5v11l9-5.5z', pause: 'M4 3h3v10H4zM9 3h3v10H9z' };
const calm = window.matchMedia('(prefers-reduced-motion: reduce)');

export function render({ model, el }) {
  const box = document.createElement('div');
  box.className = 'path';
  box.innerHTML = `<style>${STYLE}</style><button type="button"><svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
    <path></path></svg></button><input type="range" min="0" step="${STEP}"><span class="start"></span><span class="end"></span>
    <span class="now"></span><button type="button" class="back" title="The marker is off the path (Escape)"></button>`;
  el.appendChild(box);
  const [input, start, end, now, back, button, icon] =
    ['input', '.start', '.end', '.now', '.back', 'button', 'button path'].map((s) => box.querySelector(s));
  const last = () => Math.max(1, model.stops.length - 1);

  const said = (t) => {
    const {stops, digits} = model, k = Math.max(0, Math.min(stops.length - 2, Math.floor(t)));
    const value = stops[k] + (stops[k + 1] - stops[k]) * (t - k);
    const style = {minimumFractionDigits: digits, maximumFractionDigits: digits};
    return model.saying.replace('{}', value.toLocaleString('en-US', style));
  };
  function place() {
    const width = box.clientWidth - model.left - model.right;
    if (width <= 0 || model.stops.length < 2) return;
    input.max = last();
    input.value = model.t;
    input.style.left = `${model.left - THUMB / 2}px`;
    input.style.width = `${width + THUMB}px`;
    write(width, width * Math.max(0, Math.min(1, model.t / last())));
  }
  function write(width, x) {
    const text = said(model.t);
    const stop = model.stop && `, ${model.stop} ${Math.floor(model.t) + 1} of ${model.stops.length}`;
    box.style.setProperty('--done', `${x}px`);
    input.setAttribute('aria-label', model.label);
    input.setAttribute('aria-valuetext', text + stop);
    box.classList.toggle('away', model.away);
    [start.textContent, end.textContent, now.textContent] = [model.label_start, model.label_end, text];
    back.textContent = `Back to ${text}`;
    const half = Math.max(now.offsetWidth, back.offsetWidth) / 2, center = Math.max(half, Math.min(width - half, x));
    start.style.left = `${model.left}px`;
    end.style.left = `${model.left + width - end.offsetWidth}px`;
    now.style.left = back.style.left = `${model.left + center}px`;
    start.style.visibility = center - half < start.offsetWidth + 6 ? 'hidden' : '';
    end.style.visibility = center + half > width - end.offsetWidth - 6 ? 'hidden' : '';
  }
  function fit() {
    const narrow = box.clientWidth < NARROW;
    if (box.clientWidth > 0 && narrow !== model.narrow) model.narrow = narrow;
    place();
  }
  const comeBack = () => { model.away = false; model.back += 1; }; // said even if it is not known yet to be away
  const move = (t) => {
    const before = model.t;
    model.t = Math.max(0, Math.min(last(), t));
    if (model.away || model.t === before) comeBack();
    place();
  };
  const next = (t) => Math.floor(t) + 1, previous = (t) => Math.ceil(t) - 1;
  let timer = null;
  function pause() {
    clearInterval(timer);
    timer = null;
    button.setAttribute('aria-label', 'Play');
    button.title = 'Play: move along the path (space)';
    icon.setAttribute('d', ICONS.play);
  }
  function play() {
    if (model.t >= last()) move(0);
    button.setAttribute('aria-label', 'Pause');
    button.title = 'Pause (space)';
    icon.setAttribute('d', ICONS.pause);
    timer = setInterval(() => {
      move(calm.matches ? next(model.t) : model.t + STEP);
      if (model.t >= last()) pause();
    }, calm.matches ? STOP_TICK : TICK);
  }
  const toggle = () => (timer === null ? play() : pause());
  button.addEventListener('click', toggle);
  back.addEventListener('click', () => { comeBack(); input.focus(); });
  const escape = (event) => {
    const typing = event.composedPath()[0].matches?.('input:not([type=range]), textarea');
    if (event.key === 'Escape' && !event.defaultPrevented && !typing) comeBack();
  };
  document.addEventListener('keydown', escape);
  document.addEventListener('picturetap', pause); // see PAUSE in slider.py
  pause();
  const KEYS = {
    ArrowRight: next, ArrowUp: next, ArrowLeft: previous, ArrowDown: previous,
    PageUp: (t) => Math.floor(t) + PAGE, PageDown: (t) => Math.ceil(t) - PAGE,
    Home: () => 0, End: last,
  };
  input.addEventListener('input', () => { pause(); move(Number(input.value)); });
  input.addEventListener('keydown', (event) => {
    const plain = !event.altKey && !event.ctrlKey && !event.metaKey;
    if (!plain || !(KEYS[event.key] || event.key === ' ')) return;
    event.preventDefault();
    if (event.key === ' ') { toggle(); return; }
    pause();
    move(KEYS[event.key](model.t));
  });
  const shown = ['t', 'stops', 'label', 'saying', 'digits', 'stop', 'left', 'right', 'label_start', 'label_end',
    'away'];
  for (const name of shown) model.on(name, place);
  const observer = new ResizeObserver(fit);
  observer.observe(box);
  model.on('remove', () => {
    observer.disconnect();
    pause();
    document.removeEventListener('keydown', escape);
    document.removeEventListener('picturetap', pause);
  });
  model.on('stops', pause);
  fit();
}
