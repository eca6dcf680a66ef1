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
