// The slider along the training path. Its thumb's center travels from the plot's left frame to its right one.
const STYLE = `
.path { position: relative; height: 52px; font: 400 var(--fs-caption, 12px)/1.2 var(--font, sans-serif); }
.path input { position: absolute; top: 2px; height: 28px; margin: 0; appearance: none; background: none; cursor: pointer; }
.path input::-webkit-slider-runnable-track { height: 4px; border-radius: 2px;
  background: linear-gradient(var(--here, #c9156b), var(--here, #c9156b)) 0 / var(--done, 50%) 100% no-repeat,
    var(--edge, #828b95); }
.path input::-webkit-slider-thumb { appearance: none; width: 20px; height: 20px; margin-top: -8px; border-radius: 50%;
  background: var(--here, #c9156b); border: 3px solid var(--card, #fff); box-shadow: 0 0 0 1.5px var(--here, #c9156b); }
.path input::-moz-range-track { height: 4px; border-radius: 2px; background: var(--edge, #828b95); }
.path input::-moz-range-progress { height: 4px; background: var(--here, #c9156b); }
.path input::-moz-range-thumb { width: 14px; height: 14px; border: 3px solid var(--card, #fff); border-radius: 50%;
  background: var(--here, #c9156b); }
.path input:focus-visible { outline: 2px solid var(--ink, #14181d); outline-offset: 2px; border-radius: 6px; }
.path span { position: absolute; top: 32px; color: var(--ink-2, #48515b); white-space: nowrap; }
.path .now { transform: translateX(-50%); color: var(--here, #c9156b); font-weight: 600; font-size: 13px; }
`;
const THUMB = 20;

export function render({ model, el }) {
  const box = document.createElement('div');
  box.className = 'path';
  box.innerHTML = `<style>${STYLE}</style><input type="range" min="0" step="0.25"
    aria-label="Position on the training path"><span class="start"></span><span class="end"></span>
    <span class="now"></span>`;
  el.appendChild(box);
  const [input, start, end, now] = ['input', '.start', '.end', '.now'].map((s) => box.querySelector(s));

  const step = (t) => {
    const k = Math.max(0, Math.min(model.steps.length - 2, Math.floor(t)));
    return Math.round(model.steps[k] + (model.steps[k + 1] - model.steps[k]) * (t - k));
  };
  function place() {
    const width = box.clientWidth - model.left - model.right, last = model.count - 1, share = model.t / last;
    if (width <= 0 || model.steps.length < 2) return;
    input.max = last;
    input.value = model.t;
    input.style.left = `${model.left - THUMB / 2}px`;
    input.style.width = `${width + THUMB}px`;
    input.style.setProperty('--done', `${(100 * (share * width + THUMB / 2)) / (width + THUMB)}%`);
    input.setAttribute('aria-valuetext', `step ${step(model.t)}, checkpoint ${Math.floor(model.t) + 1} of ${model.count}`);
    start.textContent = model.label_start;
    end.textContent = model.label_end;
    now.textContent = `step ${step(model.t)}`;
    start.style.left = `${model.left}px`;
    end.style.left = `${model.left + width - end.offsetWidth}px`;
    const half = now.offsetWidth / 2, x = model.left + Math.max(half, Math.min(width - half, share * width));
    now.style.left = `${x}px`;
    start.style.visibility = x - half < model.left + start.offsetWidth + 6 ? 'hidden' : '';
    end.style.visibility = x + half > model.left + width - end.offsetWidth - 6 ? 'hidden' : '';
  }
  const move = (t) => { model.t = Math.max(0, Math.min(model.count - 1, t)); place(); };
  const KEYS = {
    ArrowRight: (t) => Math.floor(t) + 1, ArrowUp: (t) => Math.floor(t) + 1,
    ArrowLeft: (t) => Math.ceil(t) - 1, ArrowDown: (t) => Math.ceil(t) - 1,
    PageUp: (t) => Math.floor(t) + 5, PageDown: (t) => Math.ceil(t) - 5,
    Home: () => 0, End: () => model.count - 1,
  };
  input.addEventListener('input', () => move(Number(input.value)));
  input.addEventListener('keydown', (event) => {
    if (!KEYS[event.key]) return;
    event.preventDefault();
    move(KEYS[event.key](model.t));
  });
  for (const name of ['t', 'count', 'steps', 'left', 'right']) model.on(name, place);
  const observer = new ResizeObserver(place);
  observer.observe(box);
  model.on('remove', () => observer.disconnect());
  place();
}
