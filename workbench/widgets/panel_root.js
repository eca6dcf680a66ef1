/**
 * What the element around a panel does for all that is in it. Python puts this file before
 * status_line.js, a line that every panel has.
 */

/** A key that is typed in a panel is no command of the notebook, and runs no cell. */
function keepKeys(root) {
  if (root.dataset.keepsKeys) return;
  root.dataset.keepsKeys = "true";
  root.addEventListener("keydown", (event) => {
    const shortcut = event.ctrlKey || event.metaKey || event.altKey; // Ctrl+S still saves
    if (!shortcut || event.key === "Enter") event.stopPropagation();
  });
}

/** Scrolls to what a click made, and moves the focus there, unless the user is typing. */
function reveal(found) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const tall = found.offsetHeight > innerHeight / 2;
  found.scrollIntoView({ block: tall ? "start" : "nearest", behavior: calm ? "auto" : "smooth" });
  if (document.activeElement?.matches("input, textarea, select")) return;
  found.tabIndex = -1;
  found.focus({ preventScroll: true });
}

/** Calls back once the element is in the page, which is after it was rendered. */
function onceAttached(el, call) {
  if (el.isConnected) call();
  else requestAnimationFrame(() => onceAttached(el, call));
}

/** Returns a function that reveals what has a class, in the panel around `el`. */
function tendPanel(el) {
  onceAttached(el, () => {
    for (const root of [".latent-panel", ".latent-workbench"]) {
      const around = el.closest(root);
      if (around) keepKeys(around);
    }
  });
  /** What has the class is drawn a moment later, or longer where the page is busy. */
  function show(name, tries = 50) {
    const [found] = (el.closest(".latent-panel") ?? document).getElementsByClassName(name);
    if (found?.offsetHeight) reveal(found);
    else if (tries) setTimeout(() => show(name, tries - 1), 80);
  }
  return (name) => setTimeout(() => show(name), 80);
}
