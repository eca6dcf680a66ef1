/**
 * A heat map on a canvas: a grid of float32 numbers between two labelled sides.
 *
 * Two canvases lie on each other: cells and labels below, which are drawn anew only when the numbers,
 * the size or the theme change; marks above (pointer, cursor, selection). All text is either drawn
 * on a canvas or set as textContent: no label is ever parsed as HTML.
 */

const SEQUENTIAL = [
  "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725",
]; // viridis
// Zero is the colour of the page, so that what stands out is what differs.
const DIVERGING = {
  light: ["#0b4f96", "#5b9bd0", "#f4f4f4", "#e88b5a", "#a63603"],
  dark: ["#9ad1ff", "#3b82c4", "#2a2a2a", "#c4602d", "#ffb98f"],
};
const LEGIBLE = 9; // pixels below which a label is left out
const LABEL_PX = 11;
const BAND = 5; // width of a band of group colours, with its gap
const MOST_HEIGHT = 720;
const REDRAWN = [
  "values", "row_title", "row_labels", "row_groups", "row_numbers", "column_title", "column_labels",
  "column_groups", "column_numbers", "title", "note", "value_name", "signed", "low", "high",
  "colours", "square", "cell_width", "cell_height", "label_width", "picks", "busy",
];

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** 256 colours between the stops, as [r, g, b]. */
function ramp(stops) {
  const known = stops.map(channels);
  return Array.from({ length: 256 }, (_, step) => {
    const at = (step / 255) * (known.length - 1);
    const left = Math.min(Math.floor(at), known.length - 2);
    return known[left].map((c, i) => Math.round(c + (known[left + 1][i] - c) * (at - left)));
  });
}

function format(value) {
  if (Number.isNaN(value)) return "none";
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size < 1e-4 || size >= 1e5 ? value.toExponential(1) : String(+value.toPrecision(3));
  return text.replaceAll("-", "−");
}

/** As short as it gets, for inside a cell. */
function short(value) {
  const size = Math.abs(value);
  const text = size < 0.005 ? "0" : value.toFixed(size < 0.995 ? 2 : size < 9.95 ? 1 : 0);
  return text.replace("-", "−").replace(/^(−?)0\./, "$1.");
}

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = `latent-grid-${name}`;
  parent.append(made);
  return made;
}

/** The text, cut to a width with an ellipsis. */
function fit(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  const characters = [...text];
  while (characters.length && context.measureText(`${characters.join("")}…`).width > width) characters.pop();
  return `${characters.join("")}…`;
}

/** Places whose number is shown where labels do not fit: round numbers, far enough apart. */
function ticks(numbers, size, room) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((s) => s * size >= room) ?? 5000;
  return numbers.flatMap((number, place) => (number % step === 0 ? [place] : []));
}

function render({ model, el }) {
  el.classList.add("latent-grid");
  const head = element("div", "head", el);
  const title = element("div", "title", head);
  const sides = element("div", "sides", head);
  const body = element("div", "body", el);
  const cells = body.appendChild(document.createElement("canvas"));
  const marks = body.appendChild(document.createElement("canvas"));
  const tip = element("div", "tip", body);
  const legend = element("div", "legend", el);
  const note = element("div", "note", el);
  const said = element("div", "said", el);
  body.tabIndex = 0;
  body.setAttribute("role", "application");
  body.setAttribute("aria-roledescription", "heat map");
  body.dataset.lmSuppressShortcuts = "true"; // JupyterLab's keys would move between its own cells
  said.setAttribute("aria-live", "polite");
  tip.hidden = true;

  let shape = [0, 0]; // rows, columns
  let numbers = new Float32Array();
  let place = { left: 0, top: 0, width: 1, height: 1 }; // of the cells: corner, and size of each
  let cursor = null; // [row, column] of the keyboard
  let frame = 0;

  const style = (name, otherwise) => getComputedStyle(el).getPropertyValue(name).trim() || otherwise;
  const ratio = () => window.devicePixelRatio || 1;
  const font = (px, weight = "") => `${weight} ${px}px ${getComputedStyle(el).fontFamily}`;
  const same = (a, b) => a[0] === b[0] && a[1] === b[1];
  const inside = ([row, column]) => row >= 0 && column >= 0 && row < shape[0] && column < shape[1];

  function isDark() {
    const [r, g, b] = (getComputedStyle(el).color.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
    return r + g + b > 380; // light letters
  }

  function palette() {
    const stops = model.get("signed") ? DIVERGING[isDark() ? "dark" : "light"] : SEQUENTIAL;
    return { stops, colours: ramp(stops) };
  }

  function colourOf(value, colours) {
    const low = model.get("low");
    const share = (value - low) / (model.get("high") - low);
    return colours[Math.round(255 * Math.min(1, Math.max(0, share)))];
  }

  // --- sizes --------------------------------------------------------------------------------------

  /** How large a cell may be, in whole device pixels where there is one for it. */
  function snapped(room, count, most) {
    const size = Math.min(most, room / Math.max(count, 1));
    return Math.floor(size * ratio()) >= 1 ? Math.floor(size * ratio()) / ratio() : size;
  }

  function widest(context, labels, most) {
    return Math.min(most, Math.max(0, ...labels.map((text) => Math.ceil(context.measureText(text).width))));
  }

  function arrange(context) {
    const [rows, columns] = shape;
    const square = model.get("square");
    const bands = [model.get("row_groups"), model.get("column_groups")].map((g) => (g.length ? BAND + 2 : 0));
    const labels = widest(context, model.get("row_labels"), 150);
    const digits = widest(context, model.get("row_numbers").map(String), 60);
    const across = (side) => el.clientWidth - side - 2;
    const sideOf = (text) => Math.max(text + 6 + bands[0], model.get("label_width"));
    const mostWidth = model.get("cell_width");
    let left = sideOf(labels);
    let height = snapped(MOST_HEIGHT, rows, model.get("cell_height"));
    let width = snapped(across(left), columns, mostWidth);
    if (square) width = height = snapped(Math.min(across(left) / columns, MOST_HEIGHT / rows), 1, mostWidth);
    if (height < LEGIBLE) {
      left = sideOf(digits);
      width = snapped(across(left), columns, mostWidth);
      if (square) width = height = snapped(Math.min(across(left) / columns, MOST_HEIGHT / rows), 1, mostWidth);
    }
    const names = widest(context, model.get("column_labels"), 76);
    const upright = width >= LEGIBLE && names > width - 2;
    const top = (upright ? names + 6 : LABEL_PX + 6) + bands[1];
    place = { left, top, width, height, upright, bands };
  }

  // --- drawing ------------------------------------------------------------------------------------

  function resize(canvas, width, height) {
    canvas.width = Math.ceil(width * ratio());
    canvas.height = Math.ceil(height * ratio());
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(ratio(), 0, 0, ratio(), 0, 0);
    context.font = font(LABEL_PX);
    return context;
  }

  /** The numbers as one pixel each; fewer where a device pixel holds several: the largest of them. */
  function image(colours) {
    const [rows, columns] = shape;
    const high = Math.max(1, Math.min(rows, Math.round(rows * place.height * ratio())));
    const wide = Math.max(1, Math.min(columns, Math.round(columns * place.width * ratio())));
    const shown = new Float32Array(high * wide).fill(NaN);
    for (let row = 0; row < rows; row++) {
      const start = Math.floor((row * high) / rows) * wide;
      for (let column = 0; column < columns; column++) {
        const at = start + Math.floor((column * wide) / columns);
        const value = numbers[row * columns + column];
        if (!(Math.abs(value) <= Math.abs(shown[at]))) if (!Number.isNaN(value)) shown[at] = value;
      }
    }
    const picture = new ImageData(wide, high);
    shown.forEach((value, at) => {
      if (!Number.isNaN(value)) picture.data.set([...colourOf(value, colours), 255], at * 4);
    });
    const canvas = document.createElement("canvas");
    canvas.width = wide;
    canvas.height = high;
    canvas.getContext("2d").putImageData(picture, 0, 0);
    return canvas;
  }

  function drawCells(context, colours) {
    const [rows, columns] = shape;
    const { left, top, width, height } = place;
    context.imageSmoothingEnabled = false;
    context.drawImage(image(colours), left, top, columns * width, rows * height);
    if (width < 12 || height < 12) return;
    context.fillStyle = style("--jp-layout-color0", "#fff");
    for (let row = 1; row < rows; row++) context.fillRect(left, top + row * height - 0.5, columns * width, 1);
    for (let column = 1; column < columns; column++) context.fillRect(left + column * width - 0.5, top, 1, rows * height);
    if (width < 24 || height < 15 || model.get("high") < 0.05) return; // it would say 0 everywhere
    context.font = font(10);
    context.textAlign = "center";
    numbers.forEach((value, at) => {
      if (Number.isNaN(value)) return;
      const [r, g, b] = colourOf(value, colours);
      context.fillStyle = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111" : "#fff";
      const x = left + ((at % columns) + 0.5) * width;
      context.fillText(short(value), x, top + (Math.floor(at / columns) + 0.5) * height + 0.5);
    });
  }

  function drawSide(context, side, ink) {
    const isRow = side === "row";
    const { left, top, width, height, upright, bands } = place;
    const size = isRow ? height : width;
    const [labels, groups, counts] = ["labels", "groups", "numbers"].map((part) => model.get(`${side}_${part}`));
    const band = bands[isRow ? 0 : 1];
    const colours = model.get("colours");
    groups.forEach((group, at) => {
      if (!group) return;
      context.fillStyle = colours[group] ?? ink;
      const along = (isRow ? top : left) + at * size;
      const rectangle = [left - BAND - 1, along, BAND, size];
      context.fillRect(...(isRow ? rectangle : [along, top - BAND - 1, size, BAND]));
    });
    context.font = font(LABEL_PX);
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

  function drawLegend(stops) {
    legend.replaceChildren();
    const scale = element("span", "scale", legend);
    const [low, high] = [model.get("low"), model.get("high")];
    const bar = document.createElement("i");
    bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
    bar.textContent = low < 0 ? "0" : ""; // in the middle, where the colour is the page's
    scale.append(`${model.get("value_name")}  ${format(low)}`, bar, format(high));
    const present = new Set([...model.get("row_groups"), ...model.get("column_groups")]);
    for (const [group, colour] of Object.entries(model.get("colours"))) {
      if (!present.has(group)) continue;
      const item = legend.appendChild(document.createElement("span"));
      const swatch = item.appendChild(document.createElement("b"));
      swatch.style.background = colour;
      item.append(group);
    }
  }

  function draw() {
    frame = 0;
    const view = model.get("values");
    const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
    numbers = new Float32Array(bytes);
    shape = [model.get("row_labels").length, model.get("column_labels").length];
    const empty = numbers.length === 0 || numbers.length !== shape[0] * shape[1];
    title.textContent = model.get("title");
    note.textContent = model.get("note");
    note.hidden = !note.textContent;
    sides.textContent = empty ? "" : `↓ ${model.get("row_title")}   → ${model.get("column_title")}`;
    head.hidden = !title.textContent && empty;
    body.hidden = legend.hidden = empty;
    el.toggleAttribute("data-empty", empty);
    el.setAttribute("aria-busy", String(model.get("busy")));
    body.toggleAttribute("data-picks", model.get("picks"));
    body.setAttribute("aria-label", `${model.get("title")}: ${shape[0]} ${model.get("row_title")} by ${shape[1]} ${model.get("column_title")}. Arrow keys move${model.get("picks") ? ", Enter opens" : ""}.`);
    if (empty || el.clientWidth === 0) return;
    if (cursor && !inside(cursor)) cursor = null;
    const measuring = cells.getContext("2d");
    measuring.font = font(LABEL_PX);
    arrange(measuring);
    const { stops, colours } = palette();
    const size = [place.left + shape[1] * place.width + 1, place.top + shape[0] * place.height + 1];
    const context = resize(cells, ...size);
    resize(marks, ...size);
    context.textBaseline = "middle";
    drawCells(context, colours);
    drawSide(context, "row", getComputedStyle(el).color);
    drawSide(context, "column", getComputedStyle(el).color);
    drawLegend(stops);
    mark();
    body.dataset.draws = String(1 + Number(body.dataset.draws ?? 0)); // for whoever waits for it
  }

  function schedule() {
    frame ||= requestAnimationFrame(draw);
  }

  // --- marks: pointer, cursor, selection ----------------------------------------------------------

  function frameCell(context, [row, column], colour, thick) {
    const { left, top, width, height } = place;
    const [w, h] = [Math.max(width, 3), Math.max(height, 3)];
    for (const [ink, line] of [[style("--jp-layout-color0", "#fff"), thick + 2], [colour, thick]]) {
      context.strokeStyle = ink;
      context.lineWidth = line;
      context.strokeRect(left + column * width, top + row * height, w, h);
    }
  }

  function mark() {
    const context = marks.getContext("2d");
    const [rows, columns] = shape;
    const { left, top, width, height } = place;
    const ink = getComputedStyle(el).color;
    const brand = style("--jp-brand-color1", "#1976d2");
    context.clearRect(0, 0, marks.width, marks.height);
    const hovered = model.get("hovered");
    const [row, column] = inside(hovered) ? hovered : model.get("highlight");
    context.strokeStyle = brand;
    context.lineWidth = 1.5;
    if (row >= 0 && row < rows) context.strokeRect(left, top + row * height, columns * width, height);
    if (column >= 0 && column < columns) context.strokeRect(left + column * width, top, width, rows * height);
    if (inside(model.get("selected"))) frameCell(context, model.get("selected"), ink, 2);
    if (inside(hovered)) frameCell(context, hovered, brand, 2);
  }

  function named(side, at) {
    const label = model.get(`${side}_labels`)[at];
    const number = model.get(`${side}_numbers`)[at];
    const name = model.get(`${side}_title`);
    return String(number) === label ? `${name} ${label}` : `${name} ${number}: ${label}`;
  }

  function showTip([row, column]) {
    const value = document.createElement("strong");
    value.textContent = `${model.get("value_name")} ${format(numbers[row * shape[1] + column])}`;
    tip.replaceChildren(`${named("row", row)}\n${named("column", column)}\n`, value);
    tip.hidden = false;
    const x = place.left + (column + 1) * place.width + 8;
    const y = place.top + (row + 1) * place.height + 8;
    const over = body.offsetLeft + x + tip.offsetWidth > el.clientWidth;
    tip.style.left = `${Math.max(0, over ? x - tip.offsetWidth - place.width - 16 : x)}px`;
    tip.style.top = `${y}px`;
  }

  function point(cell) {
    if (inside(cell)) showTip(cell);
    else tip.hidden = true;
    if (same(cell, model.get("hovered"))) return;
    model.set("hovered", cell);
    model.save_changes();
    mark();
  }

  function cellAt(event) {
    const box = cells.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - place.left) / place.width);
    const row = Math.floor((event.clientY - box.top - place.top) / place.height);
    return inside([row, column]) ? [row, column] : [-1, -1];
  }

  function pick(cell) {
    if (!model.get("picks") || !inside(cell)) return;
    model.set("selected", [...cell]);
    model.save_changes();
    mark();
  }

  function press(event) {
    const [rows, columns] = shape;
    const [row, column] = cursor ?? (inside(model.get("selected")) ? model.get("selected") : [0, 0]);
    const moves = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? rows - 1 : row, columns - 1],
      PageUp: [row - 10, column], PageDown: [row + 10, column],
    };
    if (event.key in moves) {
      const [r, c] = moves[event.key];
      cursor = [Math.min(rows - 1, Math.max(0, r)), Math.min(columns - 1, Math.max(0, c))];
      point(cursor);
      said.textContent = tip.textContent.replaceAll("\n", ", ");
    } else if (event.key === "Enter" || event.key === " ") pick([row, column]);
    else if (event.key === "Escape") point([-1, -1]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  let waiting = null; // the pointer's last place, looked at once per frame
  body.addEventListener("pointermove", (event) => {
    if (!waiting) requestAnimationFrame(() => (point(cellAt(waiting)), (waiting = null)));
    waiting = event;
  });
  body.addEventListener("pointerleave", () => requestAnimationFrame(() => point([-1, -1])));
  body.addEventListener("click", (event) => {
    const cell = cellAt(event);
    if (inside(cell)) pick((cursor = cell));
  });
  body.addEventListener("keydown", press);
  body.addEventListener("blur", () => point([-1, -1]));

  // --- when to draw -------------------------------------------------------------------------------

  for (const name of REDRAWN) model.on(`change:${name}`, schedule);
  for (const name of ["selected", "hovered", "highlight"]) model.on(`change:${name}`, mark);
  let width = 0;
  const sizes = new ResizeObserver(() => {
    if (el.clientWidth !== width) schedule();
    width = el.clientWidth;
  });
  sizes.observe(el);
  // A theme's name changes before its colours have arrived.
  const repaint = () => [0, 150, 600].forEach((wait) => setTimeout(schedule, wait));
  const themes = new MutationObserver(repaint);
  for (const page of [document.documentElement, document.body]) {
    themes.observe(page, { attributes: true, attributeFilter: ["class", "data-jp-theme-name", "data-jp-theme-light", "data-theme"] });
  }
  schedule();
  return () => {
    sizes.disconnect();
    themes.disconnect();
    cancelAnimationFrame(frame);
    for (const name of REDRAWN) model.off(`change:${name}`, schedule);
    for (const name of ["selected", "hovered", "highlight"]) model.off(`change:${name}`, mark);
  };
}

export default { render };
