/**
 * Runs one of BertViz's views in its page: unpacks it, keeps it in the theme, says how high it is.
 *
 * The page lies in a sandboxed frame of an opaque origin and may load nothing. BertViz's scripts ask
 * RequireJS for jQuery and d3; both are here already, so what they ask is answered from them.
 */
(async () => {
  const nonce = document.currentScript.nonce;
  const page = document.getElementById("bertviz");
  const controls = document.getElementById("controls").content;

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(plain).text());
  }

  function run(source) {
    const script = document.createElement("script");
    script.nonce = nonce;
    script.textContent = source;
    document.head.append(script);
    script.remove();
  }

  const { scripts, params, layers, heads, latents } = await unpack(document.getElementById("packed").textContent);
  let start = () => {};
  window.require = { config() {} };
  window.requirejs = (names, view) => (start = () => view(window.jQuery, window.d3));
  window.bertviz_params = params;
  scripts.forEach(run);

  /** BertViz's neuron view numbers layers and heads by their place among those in the page. */
  function rename(select, numbers) {
    for (const option of select?.options ?? []) option.textContent = numbers[option.index];
  }

  /** Letters of a latent's label on the colour of its group, as everywhere in the workbench. */
  function tint() {
    for (const text of page.querySelectorAll("svg text")) {
      if (!Object.hasOwn(latents, text.textContent)) continue;
      const [stroke, fill] = latents[text.textContent];
      Object.assign(text.style, { stroke, fill });
      text.classList.add("latent");
    }
  }
  new MutationObserver(tint).observe(page, { childList: true, subtree: true });

  function draw(mode) {
    for (const [id, name] of [["layer", "layer"], ["att_head", "head"]]) {
      const select = page.querySelector(`#${id}`);
      if (select?.value) params[name] = Number(select.value);
    }
    params.display_mode = document.documentElement.dataset.mode = mode;
    page.replaceChildren(controls.cloneNode(true));
    start();
    if (params.places) {
      rename(page.querySelector("#layer"), layers);
      rename(page.querySelector("#att_head"), heads);
    }
  }

  const preference = matchMedia("(prefers-color-scheme: dark)");
  let told = false;
  addEventListener("message", ({ source, data }) => {
    if (source !== parent || (data?.theme !== "dark" && data?.theme !== "light")) return;
    if (!told || document.documentElement.dataset.mode !== data.theme) draw(data.theme);
    told = true;
  });
  preference.addEventListener("change", () => told || draw(preference.matches ? "dark" : "light"));
  draw(preference.matches ? "dark" : "light");

  const tell = () => parent.postMessage({ bertviz: document.documentElement.scrollHeight }, "*");
  new ResizeObserver(tell).observe(document.body);
})().catch((error) => {
  document.getElementById("bertviz").textContent = `BertViz's view could not be shown: ${error}`;
});
