// The page: reads its data, makes the figures, and lets one clock and one row of boxes move all of them.

const data = JSON.parse(document.getElementById("data").textContent);
const hidden = new Set();
const shown = run => !hidden.has(run);
const colourOf = run => (run < 0 ? "var(--exact)" : `var(--run-${run % data.colours.count})`);
const dashOf = run => (run < 0 ? "1.5 3" : data.colours.dashes[run]);
const ESTIMATES = { estimate: " (estimate)", regularised: " (regularised F)" };
const KINDS = { proven: "proven", "up to the grid": "proven up to the grid", estimate: "an estimate" };

const span = data.states.span;
const slider = document.getElementById("time");
const charts = [];

for (const path of document.querySelectorAll("[data-swatch]")) {
  const run = Number(path.dataset.swatch);
  path.style.stroke = colourOf(run);
  path.style.strokeDasharray = dashOf(run) || "none";
}

const states = new States(data.states, data.colours, shown, null);
document.getElementById("states-text").textContent = states.caption();

function setTime(index) {
  states.show(index);
  const t = states.time, text = `t = ${written(t)}`;
  document.getElementById("now").textContent = text;
  slider.setAttribute("aria-valuetext", text);
  slider.value = index;
  for (const chart of charts) chart.setNow(t);
  for (const table of document.querySelectorAll(".records[open] tbody")) markRow(table, t);
}

function markRow(body, t) {
  let nearest = null, best = Infinity;
  for (const row of body.rows) {
    const away = Math.abs(Number(row.dataset.time) - t);
    if (away < best) { best = away; nearest = row; }
    row.classList.remove("here");
  }
  if (nearest) nearest.classList.add("here");
}

function pickTime(t) { setTime(nearestIndex(states.times, t)); }

function base(run, times) { return { run, name: data.names[run], colour: colourOf(run), dash: dashOf(run), x: times, ends: true }; }

function energyFigure() {
  const figure = document.getElementById("energy");
  const runs = data.energies.map((e, run) => ({ ...e, run, times: numbers(e.times), energy: numbers(e.energy), uncertainty: numbers(e.uncertainty) }));
  const least = runs.some(r => r.minimum !== null);
  const chart = new Chart(figure, { title: "energy over time", xLabel: "time t", xRange: span, cursorName: "t", shown, onPick: pickTime });
  const state = { excess: false };
  const update = () => {
    chart.yLabel = state.excess ? "F − Fₘᵢₙ" : "F";
    chart.series = runs.flatMap(r => energySeries(r, state.excess));
    chart.draw();
  };
  if (least) {
    const box = chart.addBox("F − Fₘᵢₙ", false, on => { state.excess = on; chart.logY = log.checked = on; update(); });
    box.id = "excess";
  }
  const log = chart.addBox("log axis", false, on => { chart.logY = on; });
  log.id = "log";
  chart.addBox("log time", false, on => { chart.logX = on; chart.zoom = null; }).id = "log-time";
  charts.push(chart);
  update();
  const thinned = runs.some(r => r.stored > r.times.length) ? ` Of up to ${Math.max(...runs.map(r => r.stored))} stored times ${Math.max(...runs.map(r => r.times.length))} are drawn, closer at the start.` : "";
  const estimated = runs.some(r => r.uncertainty) ? " Bands are one standard error of estimated energies." : "";
  const promise = runs.some(r => r.modulus > 0 && r.minimum !== null) ? " Over Fₘᵢₙ, pale bands end at the decay e^(−2λt) that a λ-convex F promises." : "";
  document.getElementById("energy-text").textContent =
    `Energy over time. Drag to zoom, double click to see all; a click sets the clock.${estimated}${promise}${thinned}`;
}

function energySeries(r, excess) {
  const floor = excess ? r.minimum : 0;
  if (floor === null) return [];
  const y = r.energy.map(v => v - floor), found = [];
  if (r.uncertainty) found.push({ ...base(r.run, r.times), look: "band", low: y.map((v, i) => v - r.uncertainty[i]), high: y.map((v, i) => v + r.uncertainty[i]) });
  if (excess && r.modulus > 0) {
    const bound = r.times.map(t => y[0] * Math.exp(-2 * r.modulus * (t - r.times[0])));
    found.push({ ...base(r.run, r.times), look: "band", low: null, high: bound });
  }
  const name = data.names[r.run] + (ESTIMATES[r.kind] || "");
  found.push({ ...base(r.run, r.times), name, look: "line", y, uncertainty: r.uncertainty, marked: true });
  return found;
}

function boundsFigure() {
  const figure = document.getElementById("bounds");
  const series = [], kinds = new Set();
  data.bounds.forEach((b, run) => {
    const times = numbers(b.times), flow = numbers(b.flow), iterates = numbers(b.iterates), measured = numbers(b.measured);
    const from = (x, y) => [x.subarray(1), y.subarray(1)];
    if (flow) {
      const [x, y] = from(times, flow), line = base(run, x);
      series.push({ ...line, look: "band", low: null, high: y }, { ...line, look: "line", y, dash: "", name: `${line.name}, bound` });
      kinds.add(`${line.name}: ${KINDS[b.flow_kind]}`);
    }
    if (iterates) {
      const [x, y] = from(times, iterates), line = base(run, x);
      series.push({ ...line, look: "line", y, dash: "5 3", thin: true, name: `${line.name}, to the exact iterates` });
    }
    if (measured) {
      const [x, y] = from(numbers(b.measured_times), measured), line = base(run, x);
      series.push({ ...line, look: "dots", y, name: `${line.name}, to the exact answer` });
    }
  });
  if (!series.length) { figure.remove(); return false; }
  const chart = new Chart(figure, { title: "distances to the gradient flow", xLabel: "time t", xRange: span, yLabel: "W₂", cursorName: "t", shown, logY: true, onPick: pickTime, series });
  chart.addBox("log axis", true, on => { chart.logY = on; });
  chart.zero = true;
  charts.push(chart);
  const bands = kinds.size ? "Bands hold W₂ to the gradient flow: they end at the run’s flow_error_bound"
    + `${data.bounds.some(b => b.iterates) ? ", dashed lines at error_bound, W₂ to the exact iterates" : ""} (${[...kinds].join("; ")}).` : "No run has a bound.";
  const dots = data.bounds.some(b => b.measured) ? " Dots are distances to the exact answer." : "";
  document.getElementById("bounds-text").textContent = bands + dots;
  chart.draw();
  return true;
}

function certificatesFigure() {
  const figure = document.getElementById("certificates"), names = Object.entries(data.certificates.names);
  if (!names.length) { figure.remove(); return; }
  const runs = data.certificates.runs.map((r, run) => ({ run, times: numbers(r.times), columns: r.columns }));
  const label = element("label", {}, "show "), select = element("select", { id: "certificate" });
  for (const [column, text] of names) select.append(element("option", { value: column }, text));
  label.append(select);
  const chart = new Chart(figure, { title: "certificates of the steps", xLabel: "time t at the end of the step", xRange: span, cursorName: "t", shown, onPick: pickTime });
  figure.querySelector(".tools").prepend(label);
  const log = chart.addBox("log axis", true, on => { chart.logY = on; });
  const update = () => {
    chart.logY = log.checked;
    chart.yLabel = data.certificates.names[select.value];
    chart.series = runs.filter(r => r.columns[select.value]).map(r => ({ ...base(r.run, r.times), look: "line", y: Float64Array.from(numbers(r.columns[select.value])), marked: true }));
    chart.draw();
  };
  select.addEventListener("change", () => { log.checked = select.value !== "iterations"; update(); });
  charts.push(chart);
  update();
  document.getElementById("certificates-text").textContent =
    "What each step certifies, run by run. Long runs are drawn by the largest and least values of each stretch of steps.";
}

energyFigure();
if (!boundsFigure()) document.getElementById("certificates-number").textContent = "3";
certificatesFigure();

// the clock
slider.max = states.times.length - 1;
slider.addEventListener("input", () => { stop(); setTime(Number(slider.value)); });
const play = document.getElementById("play"), shape = document.getElementById("play-shape");
let timer = null;
function stop() {
  clearInterval(timer);
  timer = null;
  play.setAttribute("aria-label", "play");
  shape.setAttribute("d", "M4 2.5 13 8 4 13.5Z");
  document.getElementById("now").setAttribute("aria-live", "polite");
}
play.addEventListener("click", () => {
  if (timer !== null) { stop(); return; }
  if (states.index === states.times.length - 1) setTime(0);
  play.setAttribute("aria-label", "pause");
  shape.setAttribute("d", "M4 3H7V13H4ZM9 3H12V13H9Z");
  document.getElementById("now").setAttribute("aria-live", "off");  // sixty times in four seconds say nothing
  timer = setInterval(() => (states.index < states.times.length - 1 ? setTime(states.index + 1) : stop()), 1000 / 15);
});
if (states.times.length < 2) document.querySelector(".clock").hidden = true;

// the runs
for (const box of document.querySelectorAll("[data-run] input, input[data-run]"))
  box.addEventListener("change", () => {
    const run = Number(box.dataset.run);
    if (box.checked) hidden.delete(run); else hidden.add(run);
    for (const chart of charts) chart.draw();
    for (const part of document.querySelectorAll(".records")) part.hidden = hidden.has(Number(part.dataset.run));
    states.show(states.index);
  });
for (const part of document.querySelectorAll(".records"))
  part.addEventListener("toggle", () => markRow(part.querySelector("tbody"), states.time));

// the paper
const paper = document.getElementById("paper"), root = document.documentElement;
let chosen = null;
function setPaper(kind) {
  root.dataset.paper = kind;
  paper.setAttribute("aria-pressed", String(kind === "dark"));
  states.drawPanels();
}
const ofSystem = matchMedia("(prefers-color-scheme: dark)"), ofSheet = matchMedia("print");
const wanted = () => (ofSheet.matches ? "light" : chosen || (ofSystem.matches ? "dark" : "light"));
paper.addEventListener("click", () => { chosen = root.dataset.paper === "dark" ? "light" : "dark"; setPaper(chosen); });
for (const query of [ofSystem, ofSheet]) query.addEventListener("change", () => setPaper(wanted()));
addEventListener("beforeprint", () => setPaper("light"));
addEventListener("afterprint", () => setPaper(wanted()));

setPaper(wanted());
setTime(states.times.length - 1);
root.dataset.ready = "yes";
