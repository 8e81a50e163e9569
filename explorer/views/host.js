// What a notebook tells of itself, and is told.
// Panel sends back to Python what has come from it, each array and color.
function mute(document) {
  for (const manager of document.all_models) {
    if (!manager.type.endsWith('CommManager')) continue;
    const send = manager._document_changed.bind(manager);
    manager._document_changed = (event) => { if (event.sync !== false) send(event); };
  }
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
  model.shown += 1; // what is sent to a notebook before that is lost
}

export function render({ model, view }) {
  mute(view.model.document);
  follow(model);
}
