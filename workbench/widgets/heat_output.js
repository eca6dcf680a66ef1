/** Draws a heat map whose numbers lie in the page; Python puts heat_grid.js before this file. */

/** What a widget's model is to the script, without a kernel behind it. */
function pageModel(state) {
  const hooks = new Map();
  return {
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      hooks.get(`change:${name}`)?.forEach((hook) => hook());
    },
    save_changes() {},
    on: (name, hook) => hooks.set(name, [...(hooks.get(name) ?? []), hook]),
    off: (name, hook) => hooks.set(name, (hooks.get(name) ?? []).filter((other) => other !== hook)),
  };
}

function show(place, map, values, settings) {
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  place.replaceChildren();
  render({ model: pageModel({ ...settings, map: { ...map, values: new DataView(bytes.buffer) } }), el: place });
}
