/** The line under a panel: state, progress, cancel, and an error with its details in a fold. */

const WORDS = { failed: "Error", cancelled: "Cancelled", done: "Done" };

function render({ model, el }) {
  el.classList.add("latent-status");
  const line = document.createElement("div");
  line.className = "latent-status-line";
  const bar = document.createElement("progress");
  const text = document.createElement("span");
  const cancel = document.createElement("button");
  cancel.type = "button";
  cancel.textContent = "Cancel job";
  cancel.addEventListener("click", () => {
    cancel.disabled = true;
    model.send({ kind: "cancel" });
  });
  line.append(bar, text, cancel);
  const fold = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "Show details";
  const trace = document.createElement("pre");
  fold.append(summary, trace);
  el.append(line, fold);

  function draw() {
    const state = model.get("state");
    const active = state === "queued" || state === "running";
    const fraction = model.get("fraction");
    el.dataset.state = state;
    line.setAttribute("role", state === "failed" ? "alert" : "status");
    bar.hidden = cancel.hidden = !active;
    if (!active) cancel.disabled = false;
    if (fraction >= 0) bar.value = fraction;
    else bar.removeAttribute("value");
    bar.setAttribute("aria-label", "progress");
    const word = state === "failed" || state === "cancelled" ? `${WORDS[state]}: ` : "";
    text.textContent = word + model.get("message");
    trace.textContent = model.get("details");
    fold.hidden = !model.get("details");
  }
  const show = tendPanel(el);
  const hear = (message) => message.kind === "reveal" && show(message.name);
  model.on("msg:custom", hear);
  model.on("change", draw);
  draw();
  model.send({ kind: "opened" });
  return () => {
    model.off("change", draw);
    model.off("msg:custom", hear);
    model.send({ kind: "closed" });
  };
}

export default { render };
