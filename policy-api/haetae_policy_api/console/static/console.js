// What the console does in the browser beyond htmx: times in the reader's zone, the chart, rows by keyboard, choosing.
// Everything can be read without it. Holds no data and makes no markup from texts.

const local = {
  full: new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" }),
  time: new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: "medium" }),
};

function showTimes(root) {
  for (const shown of root.querySelectorAll("time[data-local]")) {
    const format = local[shown.dataset.local];
    if (format) shown.textContent = format.format(new Date(shown.dateTime));
  }
}

// The chart: drawn anew when its numbers come; a few dozen points, so that takes less than a millisecond or two.
let chart = null;
const STEP = 15;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function drawChart() {
  const place = document.getElementById("chart");
  if (!place || typeof uPlot === "undefined") return;
  chart?.destroy();
  const [ends, counts] = [place.dataset.ends, place.dataset.counts].map((text) => text.split(",").map(Number));
  const data = [ends, counts.map((count) => count || null)]; // what did not happen has no bar
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  place.replaceChildren();
  chart = new uPlot({
    width: place.clientWidth, height: 170, padding: [8, 8, 0, 0], legend: { show: false }, cursor: { drag: { x: false, y: false } },
    scales: { x: { range: (_, low, high) => [low - STEP / 2, high + STEP / 2] }, y: { range: (_, __, most) => [0, Math.max(4, most * 1.1)] } },
    series: [{}, {
      label: place.dataset.name, stroke: colour("--accent"), fill: colour("--accent-soft"), width: 1.5,
      paths: uPlot.paths.bars({ size: [0.8, 14] }), points: { show: false },
    }],
    axes: [
      { ...axis, grid: { show: false }, size: 30, space: 70, values: (_, ends) => ends.map((end) => clock.format(new Date(end * 1000))) },
      { ...axis, size: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
    ],
  }, data, place);
}

// Single keys, unless somebody is writing or has switched them off (WCAG 2.2, 2.1.4).
const OFF = "haetae-console-keys-off";

function keysOn() {
  try { return localStorage.getItem(OFF) === null; } catch { return true; }
}

function row(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const here = rows.indexOf(document.activeElement?.closest("[data-row]"));
  const next = rows[here < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, here + step))];
  const target = next.querySelector("[data-open]") ?? next.querySelector("a, button, summary");
  target?.focus();
  next.scrollIntoView({ block: "nearest" });
}

const keys = {
  "/": () => document.getElementById("find")?.focus(),
  "j": () => row(1),
  "k": () => row(-1),
  "x": () => document.activeElement?.closest("[data-row]")?.querySelector("input[type=checkbox]")?.click(),
  "b": () => document.getElementById("to-new")?.click(),
  "?": () => openHelp(),
};

function openHelp() {
  const help = document.getElementById("help");
  if (help && !help.open) help.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !keysOn()) return;
  if (event.target.closest?.("textarea, select, dialog, input:not([type=checkbox])")) return;
  const act = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act();
});

// Choosing rows.
function countChosen() {
  const shown = document.getElementById("chosen");
  if (!shown) return;
  const boxes = [...document.querySelectorAll("#listed tbody input[name=id]")];
  const chosen = boxes.filter((box) => box.checked).length;
  shown.textContent = chosen === 0 ? "" : chosen === 1 ? shown.dataset.one : shown.dataset.many.replace("#", chosen);
  const button = document.querySelector("#listed button.danger");
  if (button) button.disabled = chosen === 0;
  const all = document.getElementById("all");
  all.hidden = false;
  all.checked = chosen > 0 && chosen === boxes.length;
  all.indeterminate = chosen > 0 && chosen < boxes.length;
}

document.addEventListener("change", (event) => {
  if (event.target.id === "all") {
    for (const box of document.querySelectorAll("#listed tbody input[name=id]")) box.checked = event.target.checked;
  }
  if (event.target.closest("#listed")) countChosen();
  if (event.target.id === "keys-on") {
    try {
      if (event.target.checked) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "1");
    } catch { /* the choice lasts as long as the page, then */ }
  }
});

// The live part can be held still (WCAG 2.2, 2.2.2).
const pause = document.getElementById("pause");
let paused = false;
pause?.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? pause.dataset.resume : pause.dataset.pause;
});
document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
  if (paused && event.target.id === "live") event.preventDefault();
});

for (const button of document.querySelectorAll("[data-opens]")) {
  button.hidden = false;
  button.addEventListener("click", openHelp);
}
const switched = document.getElementById("keys-on");
if (switched) switched.checked = keysOn();
if (pause) pause.hidden = false;

function settle(root) {
  showTimes(root);
  drawChart();
  countChosen();
}

document.body.addEventListener("htmx:afterSwap", (event) => settle(event.target.parentNode ?? document));
document.body.addEventListener("htmx:sseMessage", () => settle(document));
document.body.addEventListener("htmx:beforeRequest", () => document.getElementById("notice")?.replaceChildren());
window.addEventListener("pageshow", () => settle(document));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawChart);
let resized = 0;
window.addEventListener("resize", () => {
  cancelAnimationFrame(resized);
  resized = requestAnimationFrame(drawChart);
});
settle(document);
