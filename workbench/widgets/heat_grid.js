/**
 * A heat map on a canvas: a grid of float32 numbers between two labelled sides. Python puts
 * the other files of heat maps before it (`SCRIPTS`).
 *
 * Two canvases lie on each other: cells and labels below, which are drawn anew only when the numbers,
 * the size or the theme change; marks above (pointer, cursor, selection). All text is either drawn
 * on a canvas or set as textContent: no label is ever parsed as HTML.
 */

const MOST_HEIGHT = 720;
const DRAWN = ["map", "note", "busy", "picks", "cell_width", "cell_height", "label_width"];
const MARKED = ["selected", "hovered", "highlight"]; // a change of these leaves the cells as they are

function render({ model, el }) {
  el.classList.add("latent-grid");
  const head = element("div", "head", el);
  const title = element("div", "title", head);
  const sides = element("div", "sides", head);
  const offerZoom = zoomButtons(head, zoom);
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

  let whole = model.get("map"); // as `HeatMap.traits` describes it
  let view = wholeView(whole);
  let map = whole; // the part of it that is drawn; its cells count from the view's corner
  let shape = [0, 0]; // rows, columns
  let numbers = new Float32Array();
  let place = { left: 0, top: 0, width: 1, height: 1 }; // of the cells: corner, and size of each
  let cursor = null; // [row, column] of the keyboard
  let pressed = null; // the cell where a rectangle began, and the one where it ends
  let frame = 0;

  const style = (name, otherwise) => getComputedStyle(el).getPropertyValue(name).trim() || otherwise;
  const ratio = () => window.devicePixelRatio || 1;
  const font = (px, weight = "") => `${weight} ${px}px ${getComputedStyle(el).fontFamily}`;
  const same = (a, b) => a[0] === b[0] && a[1] === b[1];
  const inside = ([row, column]) => row >= 0 && column >= 0 && row < shape[0] && column < shape[1];

  const none = (cell) => cell[0] < 0 && cell[1] < 0;
  const toWhole = (cell) => (none(cell) ? [-1, -1] : [cell[0] + view[0], cell[1] + view[1]]);
  const toView = (cell) => [0, 1].map((side) => (cell[side] < 0 ? -1 : cell[side] - view[side]));
  const chosen = (name) => toView(model.get(name));

  const isNoise = (value) => Math.abs(value) < (map.floor ?? 0);

  function isDark() {
    const [r, g, b] = (getComputedStyle(el).color.match(/[\d.]+/g) ?? [0, 0, 0]).map(Number);
    return r + g + b > 380; // light letters
  }

  function colourOf(value, colours) {
    if (isNoise(value)) return channels(map.grey);
    const low = map.low;
    const share = map.log
      ? Math.log(Math.max(value, low) / low) / Math.log(map.high / low)
      : (value - low) / (map.high - low);
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
    const square = map.square;
    const bands = [map.row_groups, map.column_groups].map((g) => (g.length ? BAND + 2 : 0));
    const labels = widest(context, map.row_labels, 150);
    const digits = widest(context, map.row_numbers.map(String), 60);
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
    const names = widest(context, map.column_labels, 76);
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
  }

  function drawNumbers(context, colours) {
    if (map.high < 0.05) return; // it would say 0 everywhere
    const texts = [...numbers].map((value) => (Number.isNaN(value) || isNoise(value) ? "" : short(value)));
    drawTexts(context, texts, (at) => colourOf(numbers[at], colours), new Set(map.uncertain), shape[1], place, font);
  }

  function draw() {
    frame = 0;
    const before = sidesOf(whole);
    whole = model.get("map");
    if (!same(before, sidesOf(whole))) view = wholeView(whole);
    map = partOf(whole, view);
    numbers = map.numbers;
    shape = sidesOf(map);
    const empty = numbers.length === 0 || numbers.length !== shape[0] * shape[1];
    title.textContent = map.title;
    note.textContent = model.get("note");
    note.hidden = !note.textContent;
    sides.textContent = empty ? "" : `↓ ${map.row_title}   → ${map.column_title}`;
    head.hidden = !title.textContent && empty;
    body.hidden = legend.hidden = empty;
    el.toggleAttribute("data-empty", empty);
    el.setAttribute("aria-busy", String(model.get("busy")));
    body.toggleAttribute("data-picks", model.get("picks"));
    body.setAttribute("aria-label", `${map.title}: ${shape[0]} ${map.row_title} by ${shape[1]} ${map.column_title}. Arrow keys move, plus and minus zoom${model.get("picks") ? ", Enter opens" : ""}.`);
    if (empty) offerZoom(false, true);
    if (empty || el.clientWidth === 0) return;
    if (cursor && !inside(cursor)) cursor = null;
    const measuring = cells.getContext("2d");
    measuring.font = font(LABEL_PX);
    arrange(measuring);
    const allSeen = isWhole(whole, view);
    offerZoom(!allSeen || Math.min(place.width, place.height) < LEGIBLE, allSeen);
    const stops = map[isDark() ? "dark" : "light"];
    const colours = ramp(stops);
    const size = [place.left + shape[1] * place.width + 1, place.top + shape[0] * place.height + 1];
    const context = resize(cells, ...size);
    resize(marks, ...size);
    context.textBaseline = "middle";
    drawCells(context, colours);
    const ink = getComputedStyle(el).color;
    drawHatches(context, map.uncertain, shape[1], place, ink);
    drawNumbers(context, colours);
    for (const side of ["row", "column"]) drawSide(context, side, map, place, font(LABEL_PX), ink);
    drawLegend(legend, map, stops);
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
    const hovered = chosen("hovered");
    const [row, column] = inside(hovered) ? hovered : chosen("highlight");
    context.strokeStyle = brand;
    context.lineWidth = 1.5;
    if (row >= 0 && row < rows) context.strokeRect(left, top + row * height, columns * width, height);
    if (column >= 0 && column < columns) context.strokeRect(left + column * width, top, width, rows * height);
    if (inside(chosen("selected"))) frameCell(context, chosen("selected"), ink, 2);
    if (inside(hovered)) frameCell(context, hovered, brand, 2);
    if (pressed?.wide) {
      const [[r, c], [rows, columns]] = corners(pressed);
      context.strokeRect(left + c * width, top + r * height, columns * width, rows * height);
    }
  }

  function named(side, at) {
    const label = map[`${side}_labels`][at];
    const number = map[`${side}_numbers`][at];
    const name = map[`${side}_title`];
    return String(number) === label ? `${name} ${label}` : `${name} ${number}: ${label}`;
  }

  function showTip([row, column]) {
    const value = document.createElement("strong");
    const at = row * shape[1] + column;
    const doubt = map.uncertain.includes(at) ? ", its interval holds zero" : "";
    const noise = isNoise(numbers[at]) ? "\nbelow the noise floor" : "";
    value.textContent = `${map.value_name} ${format(numbers[at])}${doubt}`;
    tip.replaceChildren(`${named("row", row)}\n${named("column", column)}\n`, value, noise);
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
    if (same(toWhole(cell), model.get("hovered"))) return;
    model.set("hovered", toWhole(cell));
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
    model.set("selected", toWhole(cell));
    model.save_changes();
    mark();
  }

  function press(event) {
    const [rows, columns] = shape;
    const [row, column] = cursor ?? (inside(chosen("selected")) ? chosen("selected") : [0, 0]);
    const moves = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? rows - 1 : row, columns - 1],
      PageUp: [row - 10, column], PageDown: [row + 10, column],
    };
    if (event.key in moves) {
      const wanted = moves[event.key];
      const [high, wide] = sidesOf(whole);
      const there = [clamp(wanted[0] + view[0], 0, high - 1), clamp(wanted[1] + view[1], 0, wide - 1)];
      look(movedView(view, there));
      cursor = toView(there);
      point(cursor);
      said.textContent = tip.textContent.replaceAll("\n", ", ");
    } else if (["+", "=", "-", "0"].includes(event.key)) zoom({ "-": "out", 0: "all" }[event.key] ?? "in");
    else if (event.key === "Enter" || event.key === " ") pick([row, column]);
    else if (event.key === "Escape") point([-1, -1]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // --- zoom: another part of the map is drawn -----------------------------------------------------

  function look(wanted) {
    if (wanted.every((number, at) => number === view[at])) return;
    view = wanted;
    cancelAnimationFrame(frame);
    draw();
  }

  function zoom(kind) {
    const at = toWhole(cursor ?? largestCell(numbers, shape[1]));
    const kept = cursor && toWhole(cursor);
    look(kind === "all" ? wholeView(whole) : zoomedView(whole, view, kind === "in" ? 0.5 : 2, at));
    if (kept) point((cursor = toView(kept)));
    said.textContent = `rows ${view[0] + 1} to ${view[0] + view[2]}, columns ${view[1] + 1} to ${view[1] + view[3]}`;
  }

  body.addEventListener("pointerdown", (event) => {
    const cell = cellAt(event);
    pressed = inside(cell) && event.button === 0 ? { from: cell, to: cell, wide: false } : null;
  });
  body.addEventListener("pointermove", (event) => {
    if (!pressed || event.buttons === 0) return;
    const cell = cellAt(event);
    if (!inside(cell)) return;
    pressed.to = cell;
    pressed.wide ||= Math.max(Math.abs(cell[0] - pressed.from[0]), Math.abs(cell[1] - pressed.from[1])) > 1;
    mark();
  });

  let waiting = null; // the pointer's last place, looked at once per frame
  body.addEventListener("pointermove", (event) => {
    if (!waiting) requestAnimationFrame(() => (point(cellAt(waiting)), (waiting = null)));
    waiting = event;
  });
  body.addEventListener("pointerleave", () => requestAnimationFrame(() => point([-1, -1])));
  body.addEventListener("click", (event) => {
    const drawn = pressed;
    pressed = null;
    if (drawn?.wide) {
      const [[row, column], size] = corners(drawn);
      cursor = null;
      return look([row + view[0], column + view[1], ...size]);
    }
    const cell = cellAt(event);
    if (inside(cell)) pick((cursor = cell));
  });
  body.addEventListener("keydown", press);
  body.addEventListener("blur", () => point([-1, -1]));

  // --- when to draw -------------------------------------------------------------------------------

  const hooks = [...DRAWN.map((name) => [name, schedule]), ...MARKED.map((name) => [name, mark])];
  for (const [name, hook] of hooks) model.on(`change:${name}`, hook);
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
  const deaf = revealOnRequest(model, el);
  schedule();
  return () => {
    deaf();
    sizes.disconnect();
    themes.disconnect();
    cancelAnimationFrame(frame);
    for (const [name, hook] of hooks) model.off(`change:${name}`, hook);
  };
}

export default { render };
