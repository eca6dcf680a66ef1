/** A Plotly figure in the page's colours. Clicks and hovers, by pointer or key, go to Python. */

const TYPES = {
  i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array,
  i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array,
};
const PATIENCE = 15_000; // milliseconds until an unanswered request for the library may be repeated
// Nothing leaves this machine: no button uploads a chart, and no address is there for one.
const CONFIG = {
  displaylogo: false,
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d", "sendChartToCloud"],
};

// --- the library: asked of the kernel once, shared by all views of the page ---------------------

function shelf(version) {
  const key = Symbol.for(`latent-workbench.plotly.${version}`);
  if (!globalThis[key]) {
    const place = { asked: -Infinity };
    place.plotly = new Promise((resolve, reject) => Object.assign(place, { resolve, reject }));
    place.plotly.catch(() => delete globalThis[key]); // so that a later view can ask again
    globalThis[key] = place;
  }
  return globalThis[key];
}

function ask(model, place) {
  place.asked = performance.now();
  model.send({ kind: "library", gzip: "DecompressionStream" in globalThis });
}

async function take(place, packed, bytes) {
  if (place.taken) return;
  place.taken = true;
  try {
    let stream = new Blob([bytes]).stream();
    if (packed) stream = stream.pipeThrough(new DecompressionStream("gzip"));
    const source = await new Response(stream).text();
    // It hands itself over as a CommonJS module, whatever loader the page has.
    const parts = ["const module = { exports: {} };\n", source, "\nexport default module.exports;"];
    const url = URL.createObjectURL(new Blob(parts, { type: "text/javascript" }));
    const before = globalThis.Plotly;
    place.resolve((await import(/* webpackIgnore: true */ url)).default);
    globalThis.Plotly = before; // it names itself there too; the page may have its own
    URL.revokeObjectURL(url);
  } catch (error) {
    place.reject(error);
  }
}

// --- the figure, from the wire to Plotly's arguments ------------------------------------------------

/** Copies Plotly's JSON, which Plotly changes as it draws, with buffers as typed arrays. */
function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value === null || typeof value !== "object") return value;
  if (value.dtype in TYPES && value.bdata instanceof DataView) {
    const { buffer, byteOffset, byteLength } = value.bdata;
    const flat = new TYPES[value.dtype](buffer.slice(byteOffset, byteOffset + byteLength));
    const shape = String(value.shape ?? flat.length).split(",").map(Number);
    if (shape.length === 1) return flat;
    if (shape.length !== 2) throw new Error(`expected an array of 1 or 2 axes, got ${shape.length}`);
    const [rows, columns] = shape;
    return Array.from({ length: rows }, (_, row) => flat.slice(row * columns, (row + 1) * columns));
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
}

function colours(el) {
  const style = getComputedStyle(el);
  const pick = (name, other) => style.getPropertyValue(name).trim() || other;
  return {
    ink: style.color,
    family: style.fontFamily,
    grid: pick("--jp-border-color2", "rgba(127,127,127,0.3)"),
    card: pick("--jp-layout-color1", "Canvas"),
    line: pick("--jp-border-color1", "rgba(127,127,127,0.6)"),
  };
}

/** The layout with the page's colours and fonts, as wide as its place. */
function dressed(layout, el) {
  const { ink, family, grid, card, line } = colours(el);
  const { width, ...rest } = layout;
  const axes = Object.keys(rest).filter((key) => /^[xy]axis\d*$/.test(key));
  const own = Object.fromEntries(
    axes.map((key) => [key, { linecolor: line, ...rest[key], gridcolor: grid, zerolinecolor: grid }]),
  );
  return {
    ...rest,
    ...own,
    autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { size: 12, ...rest.font, color: ink, family },
    hoverlabel: { bgcolor: card, bordercolor: line, ...rest.hoverlabel, font: { color: ink, family } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink },
  };
}

// --- points, as Python hears of them and as keys reach them ------------------------------------------

const plain = (value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);

function described({ curveNumber, pointNumber, x, y, z, customdata }) {
  const point = { curve: curveNumber, index: plain(pointNumber), x, y, customdata: plain(customdata) };
  if (z !== undefined) point.z = z;
  return Object.fromEntries(Object.entries(point).map(([key, item]) => [key, item ?? null]));
}

/** The points of the visible curves, curve by curve, each curve from left to right. */
function reachable(data) {
  return data
    .map((trace, curve) => {
      if (trace.visible === "legendonly" || trace.visible === false || trace.hoverinfo === "skip") return [];
      return Array.from(trace.y ?? [], (y, index) => ({ curve, index, x: trace.x?.[index] ?? index, y }))
        .filter((point) => Number.isFinite(point.y))
        .sort((a, b) => (typeof a.x === "number" && typeof b.x === "number" ? a.x - b.x : 0));
    })
    .filter((points) => points.length > 0);
}

/** Where a key leads from a point: along its curve, or to the nearest point of the next one. */
function next(curves, from, key) {
  const row = curves.findIndex((points) => points[0].curve === from?.curve);
  if (row < 0) return curves[0][0];
  const points = curves[row];
  const column = Math.max(0, points.findIndex((point) => point.index === from.index));
  if (key === "Home") return points[0];
  if (key === "End") return points.at(-1);
  if (key === "ArrowLeft") return points[Math.max(0, column - 1)];
  if (key === "ArrowRight") return points[Math.min(points.length - 1, column + 1)];
  const step = key === "ArrowDown" ? 1 : -1;
  const other = curves[(row + step + curves.length) % curves.length];
  const far = (point) => Math.abs(point.x - points[column].x);
  return other.reduce((best, point) => (far(point) < far(best) ? point : best), other[0]);
}

// --- the view -----------------------------------------------------------------------------------------

function render({ model, el }) {
  el.classList.add("latent-plotly");
  const wait = document.createElement("div");
  wait.className = "latent-plotly-wait";
  wait.setAttribute("role", "status");
  const figure = document.createElement("div");
  figure.className = "latent-plotly-figure";
  figure.tabIndex = 0;
  figure.setAttribute("role", "application");
  figure.setAttribute("aria-roledescription", "chart");
  const said = document.createElement("div");
  said.className = "latent-plotly-said";
  said.setAttribute("aria-live", "polite");
  el.append(wait, figure, said);

  let Plotly = null;
  let current = null; // the point that keys have reached
  let frame = 0;
  let removed = false;

  // The library
  const place = shelf(model.get("version"));
  if (performance.now() - place.asked > PATIENCE) ask(model, place);
  const hear = (message, buffers) => {
    if (message.kind === "library") take(place, message.gzip, buffers[0]);
  };
  model.on("msg:custom", hear);
  const again = document.createElement("button");
  again.type = "button";
  again.textContent = "Request library again";
  again.addEventListener("click", () => ask(model, place));
  const patience = setTimeout(() => {
    wait.textContent = "The kernel has not sent the drawing library. ";
    wait.append("It may be busy. If it is not running, run this cell again. ", again);
  }, PATIENCE);
  figure.hidden = true;
  wait.textContent = "Drawing …";
  place.plotly.then(
    (library) => {
      Plotly = library;
      clearTimeout(patience);
      schedule();
    },
    (error) => {
      clearTimeout(patience);
      wait.textContent = `Plotly could not be loaded: ${error}. Run this cell again.`;
    },
  );

  // Drawing
  function schedule() {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }
  async function draw() {
    const { data, layout } = unpack(model.get("figure"));
    figure.setAttribute("aria-label", `${model.get("label")}. Arrow keys move from point to point, Enter selects.`);
    if (removed || Plotly === null || data === undefined) return;
    if (el.offsetWidth === 0) return; // hidden; the observer below comes back
    wait.hidden = true;
    figure.hidden = false;
    const fresh = figure.data === undefined;
    await Plotly.react(figure, data, dressed(layout ?? {}, el), CONFIG);
    if (fresh) {
      figure.on("plotly_click", (event) => click(described(event.points[0])));
      figure.on("plotly_hover", (event) => tell("hovered", described(event.points[0])));
      figure.on("plotly_unhover", () => tell("hovered", {}));
    }
    el.dataset.drawn = String(Number(el.dataset.drawn ?? 0) + 1);
  }

  // Events
  function tell(name, point) {
    model.set(name, point);
    model.save_changes();
  }
  function click(point) {
    tell("clicked", { ...point, clicks: (model.get("clicked").clicks ?? 0) + 1 });
  }
  function key(event) {
    if (Plotly === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const curves = reachable(figure.data ?? []);
    if (curves.length === 0) return;
    if (event.key === "Enter" || event.key === " ") {
      if (current === null) return;
      const { curve, index, x, y } = current;
      const customdata = figure.data[curve]?.customdata?.[index];
      click(described({ curveNumber: curve, pointNumber: index, x, y, customdata }));
    } else if (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
      current = next(curves, current, event.key);
      Plotly.Fx.hover(figure, [{ curveNumber: current.curve, pointNumber: current.index }]);
      setTimeout(() => {
        said.textContent = [...figure.querySelectorAll(".hoverlayer .hovertext text")]
          .map((text) => [...(text.querySelectorAll("tspan.line").length ? text.querySelectorAll("tspan.line") : [text])]
            .map((line) => line.textContent).join(", "))
          .join("; ");
      }, 100);
    } else if (event.key === "Escape") {
      Plotly.Fx.unhover(figure);
      current = null;
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
  figure.addEventListener("keydown", key);

  model.on("change:figure", schedule);
  model.on("change:label", schedule);
  const theme = new MutationObserver(() => {
    if (figure.data !== undefined) Plotly.Fx.unhover(figure); // its label has the old colours
    schedule();
  });
  theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
  let width = 0;
  const size = new ResizeObserver(() => {
    if (el.offsetWidth !== width) schedule();
    width = el.offsetWidth;
  });
  size.observe(el);
  return () => {
    removed = true;
    clearTimeout(patience);
    cancelAnimationFrame(frame);
    theme.disconnect();
    size.disconnect();
    model.off("msg:custom", hear);
    model.off("change:figure", schedule);
    model.off("change:label", schedule);
    if (Plotly !== null && figure.data !== undefined) Plotly.purge(figure);
  };
}

export default { render };
