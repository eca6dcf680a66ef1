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
