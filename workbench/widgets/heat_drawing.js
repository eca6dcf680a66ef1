/** The sides of a heat map. Python puts this file before heat_grid.js, after heat_numbers.js. */

const LEGIBLE = 9; // pixels below which a label is left out
const LABEL_PX = 11;
const BAND = 5; // width of a band of group colours, with its gap

/** Labels of a side, or numbers where there is no room, and a band in the colours of groups. */
function drawSide(context, side, map, place, font, ink) {
  const isRow = side === "row";
  const { left, top, width, height, upright, bands } = place;
  const size = isRow ? height : width;
  const [labels, groups, counts] = ["labels", "groups", "numbers"].map((part) => map[`${side}_${part}`]);
  const band = bands[isRow ? 0 : 1];
  const colours = map.colours;
  groups.forEach((group, at) => {
    if (!group) return;
    context.fillStyle = colours[group] ?? ink;
    const along = (isRow ? top : left) + at * size;
    const rectangle = [left - BAND - 1, along, BAND, size];
    context.fillRect(...(isRow ? rectangle : [along, top - BAND - 1, size, BAND]));
  });
  context.font = font;
  context.fillStyle = ink;
  const legible = size >= LEGIBLE;
  const shown = legible ? labels.keys() : ticks(counts, size, isRow ? 16 : 34);
  for (const at of shown) {
    const middle = (at + 0.5) * size;
    const text = legible ? labels[at] : String(counts[at]);
    context.save();
    if (isRow) {
      context.textAlign = "right";
      context.fillText(fit(context, text, left - band - 5), left - band - 4, top + middle + 0.5);
    } else if (upright && legible && context.measureText(text).width > size + 1) {
      context.translate(left + middle + 0.5, top - band - 4);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(fit(context, text, top - band - 5), 0, 0);
    } else {
      context.textAlign = "center";
      context.fillText(text, left + middle, top - band - LABEL_PX / 2 - 3);
    }
    context.restore();
  }
}

/** Lines across cells of a heat map. Python puts this file before heat_grid.js. */

const GAP = 6; // pixels between two lines
const THIN = 4; // pixels below which a cell has no room for lines

/** Hatch the cells `places`, numbered row by row in a grid of so many columns. */
function drawHatches(context, places, columns, { left, top, width, height }, ink) {
  if (width < THIN || height < THIN) return;
  context.save();
  context.strokeStyle = ink;
  context.globalAlpha = 0.4;
  context.lineWidth = 1;
  for (const at of places) {
    const [x, y] = [left + (at % columns) * width, top + Math.floor(at / columns) * height];
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    context.beginPath();
    for (let step = -height; step < width; step += GAP) {
      context.moveTo(x + step, y + height);
      context.lineTo(x + step + height, y);
    }
    context.stroke();
    context.restore();
  }
  context.restore();
}

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
