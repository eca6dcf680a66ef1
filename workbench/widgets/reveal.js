/** Scrolling to what a click has made. Python puts this file before the scripts that need it. */

/** The page keeps which panel the user touched last: one panel may be shown in two places. */
if (!("latentTouched" in document)) {
  document.latentTouched = null;
  const touch = (event) => (document.latentTouched = event.target.closest?.(".latent-panel") ?? null);
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, touch, true);
}

/**
 * Scrolls to an element, and moves the focus there unless the user is typing; neither if the user is
 * elsewhere. Without `focus`, it scrolls no further than it has to, and the focus stays.
 */
function reveal(found, focus = true) {
  const last = document.latentTouched;
  if (last?.checkVisibility() && !last.contains(found)) return;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const tall = found.offsetHeight > innerHeight / 2;
  found.scrollIntoView({ block: tall && focus ? "start" : "nearest", behavior: calm ? "auto" : "smooth" });
  if (!focus || document.activeElement?.matches("input, textarea, select")) return;
  found.tabIndex = -1;
  found.focus({ preventScroll: true });
}

/** Reveals what `find` gives as soon as it is drawn, which takes longer where the page is busy. */
function revealSoon(find, focus = true, tries = 50) {
  setTimeout(() => {
    const found = find();
    if (found?.offsetHeight) reveal(found, focus);
    else if (tries) revealSoon(find, focus, tries - 1);
  }, 80);
}

/** Lets Python reveal a widget; returns a function that ends this. */
function revealOnRequest(model, el) {
  const hear = (message) => message.kind === "reveal" && revealSoon(() => el, message.focus);
  model.on("msg:custom", hear);
  return () => model.off("msg:custom", hear);
}
