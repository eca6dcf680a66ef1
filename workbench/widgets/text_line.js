/** A line of text with the sign of its kind in front. */

const SIGNS = { good: "✓", bad: "✗", note: "!", error: "!" };

function render({ model, el }) {
  el.classList.add("latent-line");
  const sign = document.createElement("span");
  const text = document.createElement("span");
  const pointer = document.createElement("pre");
  sign.className = "latent-line-sign";
  sign.setAttribute("aria-hidden", "true");
  const said = document.createElement("div");
  said.append(text, pointer);
  el.append(sign, said);

  function draw() {
    const kind = model.get("kind");
    el.dataset.kind = kind;
    el.setAttribute("role", kind === "error" ? "alert" : "status");
    el.hidden = model.get("quiet") && !model.get("text");
    sign.textContent = SIGNS[kind] ?? "";
    sign.hidden = !SIGNS[kind];
    // An error that points into a text ends in two indented lines, in which a column is a character.
    const [sentence, ...lines] = model.get("text").split("\n    ");
    text.textContent = sentence;
    pointer.textContent = lines.join("\n");
    pointer.hidden = !lines.length;
  }
  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

export default { render };
