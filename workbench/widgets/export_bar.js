/** Buttons that download what a view shows, and copy the code that makes it. */

const TYPES = { png: "image/png", svg: "image/svg+xml", csv: "text/csv", html: "text/html" };

function download(name, type, bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The clipboard where the page may use it; else the code in a box, selected. */
async function copy(text, box) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied";
  } catch {
    box.value = text;
    box.hidden = false;
    box.focus();
    box.select();
    return "Press Ctrl+C to copy";
  }
}

function render({ model, el }) {
  el.classList.add("latent-exports");
  const row = document.createElement("div");
  row.setAttribute("role", "toolbar");
  row.setAttribute("aria-label", "export");
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  const box = document.createElement("textarea");
  box.readOnly = box.hidden = true;
  box.setAttribute("aria-label", "code");
  const kinds = [...model.get("formats").map((kind) => [kind, `Download ${kind.toUpperCase()}`]), ["code", "Copy code"]];
  for (const [kind, label] of kinds) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.title = kind === "code" ? "Copy the Python that reproduces this view" : `Download this view as ${kind.toUpperCase()}`;
    button.addEventListener("click", () => {
      said.textContent = "…";
      model.send({ kind });
    });
    row.append(button);
  }
  row.append(said);
  el.append(row, box);

  async function hear(message, buffers) {
    if (message.kind === "error") said.textContent = message.text;
    else if (message.kind === "code") said.textContent = await copy(message.text, box);
    else {
      const name = `${model.get("name")}.${message.kind}`;
      download(name, TYPES[message.kind], buffers[0]);
      said.textContent = `Saved ${name}`;
    }
  }
  model.on("msg:custom", hear);
  return () => model.off("msg:custom", hear);
}

export default { render };
