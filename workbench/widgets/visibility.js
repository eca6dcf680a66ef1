/** Tells the kernel when the panel around it comes into view, and when it goes. */

function render({ model, el }) {
  const view = crypto.randomUUID?.() ?? String(Math.random());
  el.style.cssText = "height: 1px; margin: 0;";
  const tell = (seen) => model.send({ view, seen });
  const observer = new IntersectionObserver((entries) => tell(entries.at(-1).isIntersecting));
  // The panel as a whole, which this line is put into only after it has been rendered.
  requestAnimationFrame(() => observer.observe(el.closest(".latent-panel") ?? el));
  return () => {
    observer.disconnect();
    tell(false);
  };
}

export default { render };
