/**
 * Numbers as colours and as short text. Python puts this file before heat_grid.js: the script of a
 * widget is one module, which cannot import another.
 */

const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** 256 colours between the stops, as [r, g, b]. */
function ramp(stops) {
  const known = stops.map(channels);
  return Array.from({ length: 256 }, (_, step) => {
    const at = (step / 255) * (known.length - 1);
    const left = Math.min(Math.floor(at), known.length - 2);
    return known[left].map((c, i) => Math.round(c + (known[left + 1][i] - c) * (at - left)));
  });
}

function format(value) {
  if (Number.isNaN(value)) return "none";
  const size = Math.abs(value);
  const text = size === 0 ? "0" : size < 1e-4 || size >= 1e5 ? value.toExponential(1) : String(+value.toPrecision(3));
  return text.replaceAll("-", "−");
}

/** As short as it gets, for inside a cell. */
function short(value) {
  const size = Math.abs(value);
  const text = size < 0.005 ? "0" : value.toFixed(size < 0.995 ? 2 : size < 9.95 ? 1 : 0);
  return text.replace("-", "−").replace(/^(−?)0\./, "$1.");
}

/** The text, cut to a width with an ellipsis. */
function fit(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  const characters = [...text];
  while (characters.length && context.measureText(`${characters.join("")}…`).width > width) characters.pop();
  return `${characters.join("")}…`;
}

/** Places whose number is shown where labels do not fit: round numbers, far enough apart. */
function ticks(numbers, size, room) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((s) => s * size >= room) ?? 5000;
  return numbers.flatMap((number, place) => (number % step === 0 ? [place] : []));
}

/** Pixels of the letters in a cell, largest first. Smaller ones are illegible. */
const LETTERS = [10, 9, 8];

/**
 * A text in each cell, numbered row by row, as large as the widest fits; none where it does not.
 * On the lines of a hatched cell, a text has an edge of the cell's colour.
 */
function drawTexts(context, texts, colourAt, hatched, columns, { left, top, width, height }, font) {
  const fits = (px) => {
    context.font = font(px);
    return texts.every((text) => context.measureText(text).width <= width - 3);
  };
  context.save();
  if (height >= 15 && LETTERS.some(fits)) {
    context.textAlign = "center";
    context.lineWidth = 3;
    context.lineJoin = "round";
    texts.forEach((text, at) => {
      if (!text) return;
      const [r, g, b] = colourAt(at);
      const x = left + ((at % columns) + 0.5) * width;
      const y = top + (Math.floor(at / columns) + 0.5) * height + 0.5;
      context.strokeStyle = `rgb(${r}, ${g}, ${b})`;
      if (hatched.has(at)) context.strokeText(text, x, y);
      context.fillStyle = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111" : "#fff";
      context.fillText(text, x, y);
    });
  }
  context.restore();
}
