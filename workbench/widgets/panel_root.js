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
  const panel = () => el.closest(".latent-panel") ?? document;
  return (name) => revealSoon(() => panel().getElementsByClassName(name)[0]);
}
