/** The part of a long heat map that is in view. Python puts this file before heat_grid.js. */

const FEWEST = 12; // places of a side that a zoom leaves

const sidesOf = (map) => [map.row_labels.length, map.column_labels.length];
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** A view is [first row, first column, rows, columns]; this one is of the whole map. */
const wholeView = (map) => [0, 0, ...sidesOf(map)];

const isWhole = (map, view) => view.every((number, at) => number === wholeView(map)[at]);

/** The map as if it had nothing else, with its values as `numbers`, row by row. */
function partOf(map, [top, left, rows, columns]) {
  const { buffer, byteOffset, byteLength } = map.values;
  const all = new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const [high, wide] = sidesOf(map);
  if (all.length !== high * wide) return { ...map, numbers: new Float32Array() };
  const numbers = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = (top + row) * wide + left;
    numbers.set(all.subarray(start, start + columns), row * columns);
  }
  const sides = {};
  for (const [side, start, count] of [["row", top, rows], ["column", left, columns]]) {
    for (const part of ["labels", "groups", "numbers"]) {
      sides[`${side}_${part}`] = map[`${side}_${part}`].slice(start, start + count);
    }
  }
  const uncertain = map.uncertain.flatMap((at) => {
    const [row, column] = [Math.floor(at / wide) - top, (at % wide) - left];
    const seen = row >= 0 && column >= 0 && row < rows && column < columns;
    return seen ? [row * columns + column] : [];
  });
  return { ...map, ...sides, uncertain, numbers };
}

/** A view whose sides are so many times as long, around a cell; short sides stay whole. */
function zoomedView(map, view, factor, cell) {
  const found = [0, 0, 0, 0];
  sidesOf(map).forEach((total, side) => {
    const count = clamp(Math.round(view[side + 2] * factor), Math.min(FEWEST, total), total);
    found[side + 2] = count;
    found[side] = clamp(Math.round(cell[side] - count / 2), 0, total - count);
  });
  return found;
}

/** A view of the same size that holds a cell. */
function movedView(view, cell) {
  const first = [0, 1].map((side) => {
    const [start, count] = [view[side], view[side + 2]];
    return clamp(start, cell[side] - count + 1, cell[side]);
  });
  return [...first, view[2], view[3]];
}

/** Buttons for a zoom, inside `parent`; returns a function that shows them or not. */
function zoomButtons(parent, zoom) {
  const box = document.createElement("span");
  box.className = "latent-grid-zoom";
  const names = { in: "Zoom in", out: "Zoom out", all: "Show whole map" };
  const buttons = Object.entries(names).map(([kind, name]) => {
    const button = box.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => zoom(kind));
    return button;
  });
  parent.append(box);
  return (offered, whole) => {
    box.hidden = !offered;
    buttons[1].disabled = buttons[2].disabled = whole;
  };
}

/** First cell and size of a rectangle between two cells. */
function corners({ from, to }) {
  const first = [Math.min(from[0], to[0]), Math.min(from[1], to[1])];
  return [first, [Math.abs(from[0] - to[0]) + 1, Math.abs(from[1] - to[1]) + 1]];
}

/** The cell of the number farthest from zero. */
function largestCell(numbers, columns) {
  let best = -1;
  numbers.forEach((value, at) => {
    if (!Number.isNaN(value) && (best < 0 || Math.abs(value) > Math.abs(numbers[best]))) best = at;
  });
  return [Math.floor(Math.max(0, best) / columns), Math.max(0, best) % columns];
}
