/** What the colours of a heat map mean. Python puts this file before heat_grid.js. */

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = `latent-grid-${name}`;
  parent.append(made);
  return made;
}

/** Fill the element `legend` with the scale of a map, and the names of its group colours. */
function drawLegend(legend, map, stops) {
  legend.replaceChildren();
  const scale = element("span", "scale", legend);
  const [low, high] = [map.low, map.high];
  const bar = document.createElement("i");
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  bar.textContent = low < 0 ? "0" : ""; // in the middle, where the colour is the page's
  scale.append(`${map.value_name}  ${map.log ? "≤ " : ""}${format(low)}`, bar, `${format(high)}${map.log ? ", logarithmic" : ""}`);
  if (map.uncertain.length) legend.append("hatched: the 95 % interval holds zero");
  if (map.floor > 0) {
    const item = legend.appendChild(document.createElement("span"));
    item.appendChild(document.createElement("b")).style.background = map.grey;
    item.append(`below the noise floor, ${format(map.floor)}`);
  }
  const present = new Set([...map.row_groups, ...map.column_groups]);
  for (const [group, colour] of Object.entries(map.colours)) {
    if (!present.has(group)) continue;
    const item = legend.appendChild(document.createElement("span"));
    const swatch = item.appendChild(document.createElement("b"));
    swatch.style.background = colour;
    item.append(group);
  }
}
