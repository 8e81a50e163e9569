// What a notebook tells of itself, and is told.
// Panel sends back to Python what has come from it, each array and color.
function mute(manager) {
  const send = manager._document_changed.bind(manager);
  manager._document_changed = (event) => { if (event.sync !== false) send(event); };
}

// A message comes in pieces, and Panel drops those that come before there is a view, be it in the middle of a message.
// What is left of it is dropped too, or it would be taken for the beginning of the next one.
function keepWhole(receiver) {
  Object.assign(receiver, { message: null, _current_consumer: receiver._HEADER });
  receiver.consume = (piece) => {
    const begins = receiver._current_consumer === receiver._HEADER;
    if (begins && !(typeof piece === 'string' && piece.includes('"msgtype"'))) receiver.message = null;
    else receiver._current_consumer(piece);
  };
}

// The theme is the notebook's.
function follow(model) {
  const body = document.body;
  const told = () => body.dataset.jpThemeLight === 'false' || /dark|contrast$/.test(body.dataset.vscodeThemeKind);
  const read = () => { if (model.dark !== told()) model.dark = told(); };
  const observer = new MutationObserver(read);
  observer.observe(body, { attributeFilter: ['data-jp-theme-light', 'data-vscode-theme-kind'] });
  model.on('remove', () => observer.disconnect());
  read();
}

// What is sent to a notebook before it shows this is lost, and what comes while figures are being built may be missed.
const LONGEST = 3000; // ms: a figure that is out of sight is never done
function tell(model, document) {
  let told = false;
  const once = () => { if (!told) { told = true; model.shown += 1; } };
  if (document.is_idle) once(); else { document.idle.connect(once); setTimeout(once, LONGEST); }
}

export function render({ model, view }) {
  for (const manager of view.model.document.all_models) {
    if (!manager.type.endsWith('CommManager')) continue;
    mute(manager);
    keepWhole(manager._receiver);
  }
  follow(model);
  tell(model, view.model.document);
}
