/** A line of text with the sign of its kind in front. */

const SIGNS = { good: "✓", bad: "✗", note: "!", error: "!" };

function render({ model, el }) {
  el.classList.add("latent-line");
  const sign = document.createElement("span");
  const text = document.createElement("span");
  sign.className = "latent-line-sign";
  sign.setAttribute("aria-hidden", "true");
  el.append(sign, text);

  function draw() {
    const kind = model.get("kind");
    el.dataset.kind = kind;
    el.setAttribute("role", kind === "error" ? "alert" : "status");
    el.hidden = model.get("quiet") && !model.get("text");
    sign.textContent = SIGNS[kind] ?? "";
    sign.hidden = !SIGNS[kind];
    text.textContent = model.get("text");
  }
  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

export default { render };
