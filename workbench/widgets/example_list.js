/** Answered examples, a page at a time, each with a button that opens it elsewhere. */

const PAGE = 5;
const SIGNS = { right: "✓", wrong: "✗", "partly right": "◐", higher: "▲", lower: "▼", same: "=" };

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function line(label, ...content) {
  const row = element("div", undefined, "latent-example-line");
  const value = element("span", undefined, "latent-example-text");
  value.append(...content);
  row.append(element("span", label, "latent-example-label"), value);
  return row;
}

/** A judged piece says so by sign and underline, and to a screen reader in words. */
function piece([text, mark]) {
  if (!mark) return text;
  const made = element("span", undefined, `latent-example-${mark}`);
  const sign = element("span", SIGNS[mark], "latent-example-sign");
  sign.setAttribute("role", "img");
  sign.setAttribute("aria-label", mark);
  made.append(text, sign);
  return made;
}

function render({ model, el }) {
  el.classList.add("latent-examples");
  let page = 0;
  let wanted = "all";

  const kinds = () => model.get("kinds");

  function matching() {
    return model.get("rows")
      .map((row, index) => ({ ...row, index }))
      .filter(({ verdict }) => wanted === "all" || verdict === wanted || (wanted === `not ${kinds()[0]}` && verdict !== kinds()[0]));
  }

  function card(row) {
    const item = element("li", undefined, "latent-example");
    const head = element("div", undefined, "latent-example-head");
    head.append(element("b", `${SIGNS[row.verdict]} ${row.verdict}`, "latent-example-verdict"));
    head.append(element("span", row.about, "latent-example-about"));
    if (row.opens) {
      const open = element("button", "Open in playground");
      open.type = "button";
      open.addEventListener("click", () => {
        model.set("opened", { index: row.index, presses: (model.get("opened").presses ?? 0) + 1 });
        model.save_changes();
      });
      head.append(open);
    }
    item.append(head, line("prompt", row.prompt), line("expected", row.answer));
    if (row.parts) item.append(line("response", ...row.parts.map(piece)));
    return item;
  }

  function draw() {
    const rows = matching();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    page = Math.min(page, pages - 1);
    const bar = element("div", undefined, "latent-examples-bar");
    bar.append(element("b", model.get("heading")));
    for (const name of ["all", ...kinds()]) {
      const button = element("button", name);
      button.type = "button";
      button.setAttribute("aria-pressed", String(name === wanted));
      button.addEventListener("click", () => {
        wanted = name;
        page = 0;
        draw();
        el.querySelector('[aria-pressed="true"]').focus();
      });
      bar.append(button);
    }
    const turn = (text, by, label) => {
      const button = element("button", text);
      button.type = "button";
      button.setAttribute("aria-label", label);
      button.disabled = page + by < 0 || page + by >= pages;
      button.addEventListener("click", () => {
        page += by;
        draw();
        const same = el.querySelector(`[aria-label="${label}"]`);
        (same.disabled ? el.querySelector('[aria-pressed="true"]') : same).focus();
      });
      return button;
    };
    const first = page * PAGE;
    const last = Math.min(rows.length, first + PAGE);
    const where = element("span", rows.length ? `${first + 1}-${last} of ${rows.length}` : "none");
    where.setAttribute("role", "status");
    bar.append(turn("‹", -1, "previous page"), where, turn("›", 1, "next page"));
    const list = element("ol");
    list.append(...rows.slice(first, last).map(card));
    el.replaceChildren(...(model.get("heading") ? [bar, list] : []));
  }
  function fresh() {
    page = 0;
    wanted = "all";
    draw();
  }
  model.on("change:rows change:heading", fresh);
  draw();
  const deaf = revealOnRequest(model, el);
  return () => {
    deaf();
    model.off("change:rows change:heading", fresh);
  };
}

export default { render };
