/** Slots in order: verbal tokens as text, latents as chips. Token text is only ever textContent. */

const SPACE = "[\u2400-\u2420⏎⇥␣∅]"; // signs for white space, control characters and no text
const RUNS = new RegExp(`${SPACE}+|(?:(?!${SPACE}).)+`, "gsu");
const [UNKNOWN, UNKNOWN_INK] = ["#999999", "#000000"]; // of a group that has no colour yet
const SIGNS = { right: "✓", wrong: "✗" };

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Text whose signs for white space are faint. */
function writeText(box, text) {
  const runs = text.match(RUNS) ?? [];
  const isSpace = new RegExp(`^${SPACE}`, "u");
  box.replaceChildren(...runs.map((run) => (isSpace.test(run) ? element("span", "latent-space", run) : run)));
}

function same(a, b) {
  return Object.keys(b).every((key) => a[key] === b[key]);
}

function render({ model, el }) {
  const prefix = `latent-strip-${crypto.randomUUID?.() ?? Math.random()}`;
  const list = element("div", "latent-strip");
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-orientation", "horizontal");
  el.append(list);

  let shown = []; // the slots as they are drawn
  let cells = []; // an element for each
  let active = -1; // where the keyboard is
  let waiting = false;
  let lowering = 0; // a timer

  function fill(cell, slot, index) {
    const latent = slot.group !== null;
    const text = cell.firstChild;
    cell.className = latent ? "latent-slot latent-chip" : "latent-slot";
    if (latent) {
      text.replaceChildren(slot.text, ...(slot.number ? [element("span", "latent-occurrence", ` #${slot.number}`)] : []));
      text.style.background = model.get("colours")[slot.group] ?? UNKNOWN;
      text.style.color = model.get("inks")[slot.group] ?? UNKNOWN_INK;
    } else {
      writeText(text, slot.text);
      text.removeAttribute("style");
    }
    cell.children[2].textContent = slot.position;
    cell.children[3].textContent = slot.chance;
    const next = cell.nextSibling;
    if (next?.className === "latent-break" && !slot.breaks) next.remove();
    if (next?.className !== "latent-break" && slot.breaks) cell.after(element("span", "latent-break"));
    cell.dataset.index = index;
  }

  /** What depends on a slot's neighbours and on other traits. */
  function dress(index) {
    const [cell, slot] = [cells[index], shown[index]];
    const prompt = model.get("prompt_length");
    cell.dataset.mark = slot.mark;
    // The sign stands once, at the end of a judged stretch.
    const ends = slot.mark && shown[index + 1]?.mark !== slot.mark;
    cell.children[1].textContent = ends ? SIGNS[slot.mark] : "";
    cell.classList.toggle("latent-first", index === prompt && index > 0);
    const where = index < prompt ? ", in the prompt" : "";
    const words = slot.words + where + (index === model.get("flagged") ? `, ${model.get("flag")}` : "");
    cell.title = words;
    cell.setAttribute("aria-label", words);
  }

  /** Draw `slots` from index `start` on; what stands already is left alone. */
  function update(slots, start) {
    const end = start + slots.length;
    if (end < cells.length) hold();
    for (let index = end; index < cells.length; index += 1) {
      if (cells[index].nextSibling?.className === "latent-break") cells[index].nextSibling.remove();
      cells[index].remove();
    }
    cells.length = shown.length = Math.min(cells.length, end);
    let [low, high] = [end, start];
    slots.forEach((slot, number) => {
      const index = start + number;
      if (index < cells.length && same(shown[index], slot)) return;
      if (index === cells.length) {
        const cell = element("span", "latent-slot");
        cell.id = `${prefix}-${index}`;
        cell.setAttribute("role", "option");
        cell.append(element("bdi", "latent-text"), element("span", "latent-sign"), element("span", "latent-position"), element("span", "latent-chance"));
        cell.children[1].setAttribute("aria-hidden", "true");
        list.append(cell);
        cells.push(cell);
      }
      shown[index] = slot;
      fill(cells[index], slot, index);
      [low, high] = [Math.min(low, index), Math.max(high, index + 1)];
    });
    for (let index = Math.max(0, low - 1); index < high; index += 1) dress(index);
    light();
    list.classList.toggle("latent-empty", cells.length === 0);
  }

  function light() {
    const names = ["selected", "hovered", "paired", "flagged", "shades"];
    const [selected, hovered, paired, flagged, shades = []] = names.map((name) => model.get(name));
    const focused = document.activeElement === list;
    cells.forEach((cell, index) => {
      cell.setAttribute("aria-selected", index === selected);
      cell.classList.toggle("latent-hovered", index === hovered || index === paired);
      const shade = shades[index] ?? -1;
      cell.classList.toggle("latent-shaded", shade >= 0);
      if (shade >= 0) cell.style.setProperty("--latent-shade", `${Math.round(100 * shade)}%`);
      cell.classList.toggle("latent-flagged", index === flagged);
      cell.classList.toggle("latent-active", index === active && focused);
    });
    if (active >= 0 && active < cells.length) list.setAttribute("aria-activedescendant", cells[active].id);
    else list.removeAttribute("aria-activedescendant");
  }

  function settle() {
    list.setAttribute("aria-label", model.get("label"));
    list.classList.toggle("latent-no-positions", !model.get("show_positions"));
    shown.forEach((_, index) => dress(index));
    light();
  }

  /** Slots that go are often followed by others: what stands below should not move up and down. */
  function hold() {
    list.style.minHeight = `${list.offsetHeight}px`;
    clearTimeout(lowering);
    if (model.get("streaming")) return;
    lowering = setTimeout(() => (list.style.minHeight = ""), 600);
  }

  function recolour() {
    shown.forEach((slot, index) => fill(cells[index], slot, index));
    settle();
  }

  function set(name, value) {
    if (model.get(name) === value) return;
    model.set(name, value);
    // One message a frame, however fast the mouse moves.
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        model.save_changes();
      });
    }
  }

  function indexOf(event) {
    const cell = event.target.closest?.(".latent-slot");
    return cell ? Number(cell.dataset.index) : -1;
  }

  /** The slot nearest to the active one in the next line of text, up or down. */
  function inNextLine(direction) {
    const from = cells[active].getBoundingClientRect();
    let found = active;
    let best = [Infinity, Infinity];
    cells.forEach((cell, index) => {
      const box = cell.getBoundingClientRect();
      const rows = (box.top - from.top) * direction;
      const distance = [rows, Math.abs(box.left - from.left)];
      if (rows < from.height / 2) return;
      if (distance[0] < best[0] - 1 || (distance[0] < best[0] + 1 && distance[1] < best[1])) {
        [found, best] = [index, distance];
      }
    });
    return found;
  }

  const MOVES = {
    ArrowRight: () => active + 1,
    ArrowLeft: () => active - 1,
    ArrowDown: () => inNextLine(1),
    ArrowUp: () => inNextLine(-1),
    Home: () => 0,
    End: () => cells.length - 1,
  };

  list.addEventListener("keydown", (event) => {
    if (!cells.length || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") set("selected", active);
    else if (event.key === "Escape") set("selected", -1);
    else if (event.key in MOVES) {
      active = Math.min(cells.length - 1, Math.max(0, MOVES[event.key]()));
      set("hovered", active);
      cells[active].scrollIntoView?.({ block: "nearest" });
    } else return;
    light();
    event.preventDefault();
    event.stopPropagation(); // the notebook has keys of its own
  });
  list.addEventListener("focus", () => {
    if (active < 0 || active >= cells.length) active = Math.max(0, model.get("selected"));
    light();
  });
  list.addEventListener("blur", light);
  list.addEventListener("click", (event) => {
    const index = indexOf(event);
    if (index < 0) return;
    active = index;
    set("selected", model.get("selected") === index ? -1 : index);
  });
  list.addEventListener("mouseover", (event) => set("hovered", indexOf(event)));
  list.addEventListener("mouseleave", () => set("hovered", -1));

  const redraw = () => update(model.get("slots"), 0);
  const add = (message) => {
    if (message.kind !== "add") return;
    if (message.start <= shown.length) update(message.slots, message.start);
    else model.send({ kind: "missed" });
  };
  const hooks = {
    "change:slots": redraw,
    "change:colours": recolour,
    "change:inks": recolour,
    "change:selected": light,
    "change:hovered": light,
    "change:paired": light,
    "change:shades": light,
    "change:flagged": settle,
    "change:flag": settle,
    "change:label": settle,
    "change:prompt_length": settle,
    "change:show_positions": settle,
    "change:streaming": hold,
    "msg:custom": add,
  };
  for (const [name, hook] of Object.entries(hooks)) model.on(name, hook);
  const deaf = revealOnRequest(model, el);
  redraw();
  settle();
  return () => {
    deaf();
    for (const [name, hook] of Object.entries(hooks)) model.off(name, hook);
  };
}

export default { render };
