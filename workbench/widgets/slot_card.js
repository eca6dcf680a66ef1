/** What is known about one slot: facts, nearest tokens, and the logit lens layer by layer. */

const NAMES = { " ": "␣", "\n": "⏎", "\t": "⇥" };

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const visible = (text) => text.replace(/[ \n\t]/g, (space) => NAMES[space]) || "∅";

function words(nearest, caption) {
  const table = element("table", "latent-near");
  table.append(element("caption", "", caption));
  const most = Math.max(...nearest.map(([, cosine]) => Math.abs(cosine)), 1e-9);
  for (const [token, cosine] of nearest) {
    const row = element("tr", "");
    const word = element("th", "");
    word.scope = "row";
    word.append(element("bdi", "", visible(token)));
    const cell = element("td", "latent-near-bar");
    const bar = element("span", "");
    bar.style.width = `${(100 * Math.abs(cosine)) / most}%`;
    cell.append(bar);
    row.append(word, cell, element("td", "latent-number", cosine.toFixed(2)));
    table.append(row);
  }
  return table;
}

/** A cell per layer: the likeliest token, its probability as a bar; the runners-up on hover. */
function lensOf(layers) {
  const box = element("figure", "latent-lens");
  box.append(element("figcaption", "", "Logit lens: the most likely next token after each layer, and its probability"));
  const list = element("ol", "");
  for (const { layer, tokens } of layers) {
    const item = element("li", "");
    const [token, probability] = tokens[0];
    const all = tokens.map(([text, share]) => `${visible(text)} ${(100 * share).toFixed(1)} %`);
    item.title = `after layer ${layer}: ${all.join(", ")}`;
    item.setAttribute("aria-label", item.title);
    const bar = element("span", "latent-lens-bar");
    bar.style.height = `${100 * probability}%`;
    const well = element("span", "latent-lens-well");
    well.append(bar);
    item.append(well, element("bdi", "", visible(token)), element("span", "latent-layer", `${layer}`));
    list.append(item);
  }
  box.append(list);
  return box;
}

function render({ model, el }) {
  el.classList.add("latent-card");
  el.setAttribute("role", "region");
  el.setAttribute("aria-label", "selected slot");
  el.setAttribute("aria-live", "polite");

  function draw() {
    const { chip, colour, ink, title, facts = [], nearest = [], predicted = [], lens = [], hint } = model.get("card");
    const head = element("div", "latent-card-head");
    if (chip) {
      const mark = element("span", "latent-card-chip", chip);
      mark.style.background = colour;
      mark.style.color = ink;
      head.append(mark);
    }
    if (title) head.append(element("strong", "", title));
    for (const fact of facts) head.append(element("span", "latent-card-fact", fact));
    if (hint) head.append(element("span", "latent-card-hint", hint));
    const body = element("div", "latent-card-body");
    if (predicted.length) body.append(words(predicted, "Predicted by the slot before, probability"));
    if (nearest.length) body.append(words(nearest, "Nearest tokens, by cosine similarity"));
    if (lens.length) body.append(lensOf(lens));
    el.replaceChildren(head, body);
  }
  model.on("change:card", draw);
  draw();
  return () => model.off("change:card", draw);
}

export default { render };
