// A line of latencies. Failed answers are marks at the foot, so that colour is not all that tells them.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 88, HEIGHT = 20, FEWEST = 12;

function shape(tag, about) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(about)) made.setAttribute(name, value);
  return made;
}

/** Draw the last answers, oldest first, into an element. */
export function draw(node, past) {
  if (node.drawn === past.at(-1)) return;
  node.drawn = past.at(-1);
  const most = Math.max(...past.map((one) => one.took), 0.5) * 1.4, step = (WIDTH - 4) / (Math.max(past.length, FEWEST) - 1);
  const begin = WIDTH - 2 - (past.length - 1) * step;
  const points = past.map((one, index) => [begin + index * step, HEIGHT - 2 - (one.took / most) * (HEIGHT - 4)]);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img" });
  svg.setAttribute("aria-label", described(past));
  svg.append(shape("polyline", { points: points.map((point) => point.map((one) => one.toFixed(1)).join(",")).join(" ") }));
  past.forEach((one, index) => {
    if (!one.passed) svg.append(shape("rect", { x: (points[index][0] - 1).toFixed(1), y: HEIGHT - 5, width: 2, height: 5 }));
  });
  if (past.length) svg.append(shape("circle", { cx: points.at(-1)[0].toFixed(1), cy: points.at(-1)[1].toFixed(1), r: 1.8 }));
  node.replaceChildren(svg);
}

function described(past) {
  if (!past.length) return "no answers yet";
  const took = past.map((one) => one.took), failed = past.filter((one) => !one.passed).length;
  return `last ${past.length} answers: ${Math.min(...took)} to ${Math.max(...took)} ms, ${failed} failed`;
}
