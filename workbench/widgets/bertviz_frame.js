/** Beside a frame that holds a view of BertViz: tells it JupyterLab's theme, and gives it its height. */
(() => {
  const frame = document.currentScript.previousElementSibling;
  const { body } = document;

  function theme() {
    if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false" ? "dark" : "light";
    if (body.matches(".vscode-dark, .vscode-high-contrast")) return "dark";
    return null; // the page goes by what the browser prefers
  }
  function tell() {
    if (theme()) frame.contentWindow?.postMessage({ theme: theme() }, "*");
  }
  function hear({ source, data }) {
    if (!frame.isConnected) return;
    if (source !== frame.contentWindow || !Number.isFinite(data?.bertviz)) return;
    frame.style.height = `${Math.min(Math.max(data.bertviz, 80), 6000)}px`;
    tell();
  }
  addEventListener("message", hear);
  new MutationObserver(tell).observe(body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
})();
