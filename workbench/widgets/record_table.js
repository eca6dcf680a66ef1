/** Examples as rows and methods as columns. A head sorts, two lists of verdicts and a text filter. */

const PAGE = 20;
const FIXED = ["split", "level", "prompt"];
const VERDICTS = ["any", "right", "not right"];

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function render({ model, el }) {
  el.classList.add("latent-records");
  const state = { page: 0, sort: null, down: true, text: "", wanted: {} };

  const valueOf = (row, column) => (column < FIXED.length ? row.about[column] : row.scores[column - FIXED.length]);

  function fits(row) {
    const scores = Object.entries(state.wanted).every(([method, verdict]) => {
      const score = row.scores[method];
      return verdict === "any" || (score !== null && (score === 1) === (verdict === "right"));
    });
    return scores && row.about.some((text) => String(text).toLowerCase().includes(state.text));
  }

  function matching() {
    const rows = model.get("rows").map((row, index) => ({ ...row, index })).filter(fits);
    if (state.sort === null) return rows;
    const order = (a, b) => {
      const [x, y] = [valueOf(a, state.sort), valueOf(b, state.sort)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (typeof x === "number" ? x - y : String(x).localeCompare(String(y))) * (state.down ? 1 : -1);
    };
    return rows.sort(order);
  }

  function head(name, column) {
    const cell = element("th");
    cell.scope = "col";
    const sorted = state.sort === column;
    cell.setAttribute("aria-sort", sorted ? (state.down ? "ascending" : "descending") : "none");
    const button = element("button", `${name}${sorted ? (state.down ? " ▲" : " ▼") : ""}`);
    button.type = "button";
    button.addEventListener("click", () => {
      [state.down, state.sort, state.page] = [sorted ? !state.down : true, column, 0];
      draw(`th:nth-child(${column + 2}) button`);
    });
    cell.append(button);
    return cell;
  }

  function verdict(name, method) {
    const label = element("label", `${name} `);
    const list = element("select");
    list.append(...VERDICTS.map((text) => element("option", text)));
    list.value = state.wanted[method] ?? "any";
    list.addEventListener("change", () => {
      state.wanted[method] = list.value;
      state.page = 0;
      draw();
      el.querySelectorAll(".latent-records-bar select")[method].focus();
    });
    label.append(list);
    return label;
  }

  function line(row) {
    const made = element("tr");
    const cell = element("td");
    const open = element("button", "Open");
    open.type = "button";
    open.title = "Open in playground";
    open.addEventListener("click", () => {
      model.set("opened", { index: row.index, presses: (model.get("opened").presses ?? 0) + 1 });
      model.save_changes();
    });
    cell.append(open);
    made.append(cell);
    row.about.forEach((text, at) => made.append(element("td", String(text), at === 2 ? "latent-records-prompt" : "")));
    for (const score of row.scores) {
      const mark = score === 1 ? "✓" : score === 0 ? "✗" : "◐"; // partly right, or by some seeds
      made.append(element("td", score === null ? "-" : `${mark} ${score.toFixed(2)}`, "latent-records-score"));
    }
    return made;
  }

  function draw(focus) {
    const methods = model.get("methods");
    if (!model.get("rows").length) return el.replaceChildren();
    const rows = matching();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const bar = element("div", undefined, "latent-records-bar");
    bar.append(...methods.map(verdict));
    const text = element("input");
    text.type = "search";
    text.placeholder = "text of the prompt";
    text.setAttribute("aria-label", "Filter by text");
    text.value = state.text;
    text.addEventListener("change", () => {
      [state.text, state.page] = [text.value.toLowerCase(), 0];
      draw("input");
    });
    const turn = (name, by, sign) => {
      const button = element("button", sign);
      button.type = "button";
      button.setAttribute("aria-label", name);
      button.disabled = state.page + by < 0 || state.page + by >= pages;
      button.addEventListener("click", () => {
        state.page += by;
        draw(`[aria-label="${name}"]`);
      });
      return button;
    };
    const first = state.page * PAGE;
    const last = Math.min(rows.length, first + PAGE);
    const where = element("span", rows.length ? `${first + 1}-${last} of ${rows.length}` : "none");
    where.setAttribute("role", "status");
    bar.append(text, turn("previous page of records", -1, "‹"), where, turn("next page of records", 1, "›"));
    const table = element("table");
    const top = element("tr");
    top.append(element("td"), ...[...FIXED, ...methods].map(head));
    const [upper, body] = [element("thead"), element("tbody")];
    upper.append(top);
    body.append(...rows.slice(first, last).map(line));
    table.append(upper, body);
    const wide = element("div", undefined, "latent-records-wide");
    wide.append(table);
    el.replaceChildren(bar, wide);
    if (focus) el.querySelector(focus)?.focus();
  }
  function fresh() {
    Object.assign(state, { page: 0, sort: null, text: "", wanted: {} });
    draw();
  }
  model.on("change:rows change:methods", fresh);
  draw();
  const deaf = revealOnRequest(model, el);
  return () => {
    deaf();
    model.off("change:rows change:methods", fresh);
  };
}

export default { render };
