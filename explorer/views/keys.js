// The picture for those who use the keyboard: it takes the focus, and the arrow keys move the marker over it.
const STYLE = `
.over { position: absolute; inset: 0; pointer-events: none; border-radius: var(--r-card, 12px); outline: none; }
.over:focus-visible { box-shadow: inset 0 0 0 2px var(--ink, #14181d); }
.over span { position: absolute; left: 50%; bottom: -13px; transform: translateX(-50%); padding: 4px 10px; display: none;
  border-radius: 6px; background: var(--ink, #14181d); color: var(--on-ink, #fff); white-space: nowrap;
  font: 400 var(--fs-caption, 12px)/1.4 var(--font, sans-serif); }
.over:focus-visible span { display: block; }
`;
const STEP = 1 / 64, LEAP = 8;
const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };

export function render({ model, el }) {
  const box = document.createElement('div');
  box.className = 'over';
  box.tabIndex = 0;
  box.setAttribute('role', 'application');
  const hint = document.createElement('span');
  box.append(Object.assign(document.createElement('style'), { textContent: STYLE }), hint);
  el.appendChild(box);
  let count = 0;
  const name = () => {
    box.setAttribute('aria-label', model.label);
    hint.textContent = model.bounds.length > 1
      ? 'Arrow keys move the marker (faster with Shift), Escape brings it back'
      : 'Left and right move the marker (faster with Shift), Escape brings it back';
  };
  box.addEventListener('keydown', (event) => {
    const [axis, side] = WAYS[event.key] ?? [];
    if (axis === undefined || axis >= model.bounds.length || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [low, high] = model.bounds[axis], at = [...model.at];
    at[axis] += side * STEP * (event.shiftKey ? LEAP : 1) * (high - low);
    model.bounds.forEach(([least, most], k) => { at[k] = Math.max(least, Math.min(most, at[k])); });
    model.at = at;
    model.moved = [...at, ++count];
  });
  for (const changed of ['label', 'bounds']) model.on(changed, name);
  name();
}
