/** A text field whose suggestions open below it: all at first, then those that hold what is typed. */

function element(tag, name) {
  const made = document.createElement(tag);
  made.className = name;
  return made;
}

function render({ model, el }) {
  const id = `latent-combo-${crypto.randomUUID?.() ?? Math.random()}`;
  el.classList.add("jupyter-widgets", "widget-inline-hbox", "widget-text", "latent-combo");
  const label = element("label", "widget-label");
  const box = element("span", "latent-combo-box");
  const input = element("input", "latent-combo-input");
  const arrow = element("span", "latent-combo-arrow");
  const list = element("ul", "latent-combo-list");
  label.htmlFor = input.id = `${id}-input`;
  list.id = `${id}-list`;
  input.type = "text";
  input.autocomplete = "off";
  input.spellcheck = false;
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", list.id);
  arrow.textContent = "▾";
  arrow.setAttribute("aria-hidden", "true");
  list.setAttribute("role", "listbox");
  list.popover = "manual"; // above everything, and cut by no box around it
  box.append(input, arrow, list);
  el.append(label, box);

  let active = -1;

  const isOpen = () => list.matches(":popover-open");

  function offered(typed) {
    const options = model.get("options");
    const wanted = typed.trim().toLowerCase();
    return typed === model.get("value") ? options : options.filter((o) => o.toLowerCase().includes(wanted));
  }

  function place() {
    const at = input.getBoundingClientRect();
    const below = innerHeight - at.bottom;
    const above = below < 160 && at.top > below;
    list.style.left = `${at.left}px`;
    list.style.minWidth = `${at.width}px`;
    list.style.maxHeight = `${Math.min(280, (above ? at.top : below) - 8)}px`;
    list.style.top = above ? "auto" : `${at.bottom + 1}px`;
    list.style.bottom = above ? `${innerHeight - at.top + 1}px` : "auto";
  }

  function open() {
    const found = input.disabled ? [] : offered(input.value);
    list.replaceChildren(...found.map((text, index) => {
      const item = element("li", "latent-combo-option");
      item.id = `${id}-${index}`;
      item.textContent = text;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", String(text === model.get("value")));
      return item;
    }));
    active = -1;
    input.removeAttribute("aria-activedescendant");
    if (!found.length) return close();
    place();
    if (!isOpen()) list.showPopover();
    input.setAttribute("aria-expanded", "true");
  }

  function close() {
    if (isOpen()) list.hidePopover();
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function move(by) {
    const items = [...list.children];
    if (!isOpen()) return open();
    active = (active + by + items.length + (active < 0 && by < 0)) % items.length;
    items.forEach((item, index) => item.classList.toggle("latent-combo-active", index === active));
    input.setAttribute("aria-activedescendant", items[active].id);
    items[active].scrollIntoView({ block: "nearest" });
  }

  function commit(text) {
    input.value = text;
    close();
    if (text === model.get("value")) return;
    model.set("value", text);
    model.save_changes();
  }

  input.addEventListener("click", open);
  input.addEventListener("input", open);
  input.addEventListener("blur", () => commit(input.value));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Enter") commit(active < 0 ? input.value : list.children[active].textContent);
    else if (event.key === "Escape" && isOpen()) close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  arrow.addEventListener("mousedown", (event) => {
    event.preventDefault();
    if (isOpen()) return close();
    input.focus();
    open();
  });
  list.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the field keeps the focus
    const item = event.target.closest("li");
    if (item) commit(item.textContent);
  });
  const leave = (event) => !list.contains(event.target) && close();
  addEventListener("scroll", leave, true);

  function show() {
    label.textContent = model.get("description");
    label.style.width = model.get("description_width");
    label.hidden = !label.textContent;
    input.placeholder = model.get("placeholder");
    input.disabled = model.get("disabled");
    input.title = model.get("tooltip") ?? "";
    if (!label.textContent) input.setAttribute("aria-label", input.title);
    input.value = model.get("value");
    if (isOpen()) open();
  }
  model.on("change", show);
  show();
  close();
  return () => {
    removeEventListener("scroll", leave, true);
    model.off("change", show);
  };
}

export default { render };
