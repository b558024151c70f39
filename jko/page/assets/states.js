// Densities and clouds at the slider's time: curves on the line, panels of maps, dots and ellipses beyond it.
//
// A track shows its stored time nearest to the slider's; nothing is interpolated in time.

const AXES = ["x₁", "x₂", "x₃"];

function lightness() { return document.documentElement.dataset.paper === "dark"; }

function cssColour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function rgb(hex) { return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)); }

// 256 colours from the paper's to the densest: the pictures' on light paper, the same hues turned round on dark.
function heatTable(colours) {
  const anchors = (lightness() ? [...colours.heat].reverse() : colours.heat).map(rgb);
  const paper = rgb(cssColour("--card")), table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const u = i / 255 * (anchors.length - 1), k = Math.min(Math.floor(u), anchors.length - 2);
    const share = Math.min(Math.max(1 - i / 255 / colours.paper_share, 0), 1);
    for (let c = 0; c < 3; c++)
      table[3 * i + c] = (anchors[k][c] * (k + 1 - u) + anchors[k + 1][c] * (u - k)) * (1 - share) + paper[c] * share;
  }
  return table;
}

class Frames {
  constructor(data) {
    this.low = numbers(data.low);
    this.high = numbers(data.high);
    this.raw = numbers(data.values);
    this.most = this.raw instanceof Uint8Array ? 255 : 65535;
    this.size = this.raw.length / this.low.length;
  }

  at(f) {
    const scale = (this.high[f] - this.low[f]) / this.most, found = new Float64Array(this.size);
    for (let i = 0; i < this.size; i++) found[i] = this.low[f] + scale * this.raw[f * this.size + i];
    return found;
  }

  get largest() { return Math.max(...this.high); }

  get least() { return Math.min(...this.low); }
}

class Track {
  constructor(data, place, colour, dash) {
    Object.assign(this, data, { place, colour, dash });
    this.times = numbers(data.times);
    this.frames = data.values ? new Frames(data) : null;
    this.images = data.maps ? data.maps.map(map => ({ ...map, frames: new Frames(map) })) : null;
    this.abscissae = numbers(data.x);
    this.points = numbers(data.points);
    this.rug = numbers(data.rug);
    this.means = numbers(data.mean);
    this.covariances = numbers(data.covariance);
    if (data.counts) this.starts = data.counts.reduce((sums, n) => [...sums, sums[sums.length - 1] + n], [0]);
  }

  get onLine() { return this.kind === "curve" || this.kind === "histogram"; }

  frame(t) { return nearestIndex(this.times, t); }

  told(f, t) {
    const last = this.times[this.times.length - 1], ended = t > last + 1e-9 * Math.max(Math.abs(t), Math.abs(last));
    const number = this.numbers ? `, ${this.numbers[f]} particles` : "";
    return (ended ? `ended at t = ${written(last)}` : `t = ${written(this.times[f])}`) + number;
  }
}

class States {
  constructor(data, colours, shown, onPick) {
    this.data = data;
    this.colours = colours;
    this.shown = shown;
    this.times = numbers(data.times);
    this.body = document.getElementById("states-body");
    this.tools = document.getElementById("states-tools");
    this.tracks = data.tracks.map((track, place) => new Track(track, place, ...this.look(track, place)));
    this.plane = 0;
    this.fixed = true;
    this.line = this.tracks.some(t => t.onLine) ? this.makeChart() : null;
    this.panels = this.tracks.filter(t => !t.onLine).map(t => this.makePanel(t));
    if (this.panels.some(p => p.track.images)) this.makeScale();
    if (data.planes.length > 1) this.makePlanes();
    this.index = this.times.length - 1;
    new ResizeObserver(() => this.drawPanels()).observe(this.body);
  }

  look(track, place) {
    if (track.run < 0) return ["var(--exact)", "1.5 3"];
    const many = this.data.tracks.length > document.querySelectorAll(".toggle").length;
    const k = many ? place : track.run;
    return [`var(--run-${k % this.colours.count})`, this.colours.dashes[k % this.colours.dashes.length]];
  }

  makeChart() {
    const host = element("div", { class: "plot" });
    this.body.append(host);
    const chart = new Chart(document.getElementById("states"), { title: "density over x", xLabel: "x", yLabel: "density ρ",
      cursorName: "x", shown: this.shown, zero: true, xRange: this.data.window.map(corner => corner[0]) });
    chart.addBox("one scale for all times", true, on => { this.fixed = on; this.show(this.index); });
    return chart;
  }

  makePanel(track) {
    const node = element("div", { class: "panel", "data-track": track.place }), told = element("p"), canvas = element("canvas", { role: "img" });
    node.append(told);
    if (track.kind !== "none") node.append(canvas);
    if (!this.grid) { this.grid = element("div", { class: "panels" }); this.body.append(this.grid); }
    this.grid.append(node);
    return { track, node, told, canvas };
  }

  makeScale() {
    this.scale = element("div", { class: "scale" });
    this.scale.innerHTML = '<span>density 0</span><canvas width="256" height="1" aria-hidden="true"></canvas><span></span>';
    this.body.append(this.scale);
    const label = element("label"), box = element("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => { this.fixed = box.checked; this.show(this.index); });
    label.append(box, "one scale for all times");
    this.tools.append(label);
  }

  makePlanes() {
    const label = element("label", {}, "plane "), select = element("select");
    this.data.planes.forEach(([a, b], k) => select.append(element("option", { value: k }, `${AXES[a]}, ${AXES[b]}`)));
    select.addEventListener("change", () => { this.plane = Number(select.value); this.drawPanels(); });
    label.append(select);
    this.tools.append(label);
  }

  get time() { return this.times[this.index]; }

  show(index) {
    this.index = index;
    if (this.line) this.drawLine();
    this.drawPanels();
  }

  drawLine() {
    const t = this.time, tracks = this.tracks.filter(track => track.onLine);
    const highest = Math.max(...tracks.filter(track => this.shown(track.run)).map(track => track.frames.largest), 0);
    const least = Math.min(...tracks.map(track => track.frames.least), 0);
    this.line.yRange = this.fixed && !this.line.logY && highest > 0 ? [least, 1.06 * highest] : null;
    this.line.set(tracks.map(track => this.curve(track, track.frame(t))).reverse());
    this.line.host.dataset.frame = this.index;
  }

  curve(track, f) {
    const base = { run: track.run, name: track.name, colour: track.colour, dash: track.dash, x: track.abscissae, y: track.frames.at(f) };
    if (track.kind === "curve") return { ...base, look: "line" };
    const [low, high] = this.data.window.map(corner => corner[0]);
    const rug = Array.from(track.rug.subarray(track.starts[f], track.starts[f + 1]), q => low + q / 65535 * (high - low));
    return { ...base, look: "steps", rug };
  }

  drawPanels() {
    if (!this.panels.length) return;
    const seen = this.panels.filter(p => { p.node.hidden = !this.shown(p.track.run); return !p.node.hidden; });
    const maps = seen.filter(p => p.track.images), table = heatTable(this.colours);
    const highest = Math.max(...maps.map(p => this.top(p.track)), 0);
    for (const panel of seen) this.drawPanel(panel, table, highest);
    if (!this.scale) return;
    this.scale.hidden = !maps.length;
    const context = this.scale.querySelector("canvas").getContext("2d"), strip = context.createImageData(256, 1);
    for (let i = 0; i < 256; i++) strip.data.set([...table.subarray(3 * i, 3 * i + 3), 255], 4 * i);
    context.putImageData(strip, 0, 0);
    this.scale.lastChild.textContent = `${written(highest, 3)}${this.data.dimension === 3 ? " (integrated over the third coordinate)" : ""}`;
  }

  top(track) {
    const frames = track.images[this.plane].frames;
    return this.fixed ? frames.largest : frames.high[track.frame(this.time)];
  }

  drawPanel(panel, table, highest) {
    const { track, told, canvas } = panel, f = track.times.length ? track.frame(this.time) : 0;
    const note = track.images ? track.images[this.plane].note : track.note;
    told.replaceChildren();
    if (!track.images) told.append(element("i", { style: `background:${track.colour}` }));
    told.append(element("b", {}, track.name), `  ${track.kind === "none" ? "" : track.told(f, this.time)}${note ? ` · ${note}` : ""}`);
    if (track.kind === "none") return;
    canvas.setAttribute("aria-label", `${track.name}, ${track.told(f, this.time)}`);
    const frame = this.frameOf(panel);
    if (!frame) return;
    if (track.kind === "profile") this.drawProfile(frame, track, f, table);
    else {
      if (track.images) this.drawMap(frame, track.images[this.plane], f, table, highest);
      if (track.points) this.drawDots(frame, track, f);
      if (track.means) this.drawEllipses(frame, track, f);
      this.drawAxes(frame);
    }
    canvas.dataset.frame = f;
  }

  // The canvas at the screen's resolution, and where in it the window lies.
  frameOf({ canvas, track, node }) {
    const width = node.clientWidth, ratio = window.devicePixelRatio || 1;
    if (!width) return null;
    let window_ = null;
    if (track.kind !== "profile") {
      const [a, b] = this.data.planes[this.plane], [lower, upper] = this.data.window;
      window_ = [lower[a], upper[a], lower[b], upper[b]];
    }
    const left = 40, bottom = 34, inner = width - left - 8;
    const aspect = window_ ? Math.min(Math.max((window_[3] - window_[2]) / (window_[1] - window_[0]), 0.35), 1.7) : 0.62;
    const height = inner * aspect + bottom + 6;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.aspectRatio = `${width} / ${height}`;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = cssColour("--card");
    context.fillRect(left, 6, inner, inner * aspect);
    return { context, window: window_, left, top: 6, width: inner, height: inner * aspect, axes: this.data.planes[this.plane] };
  }

  inside(frame, draw) {
    const { context } = frame;
    context.save();
    context.beginPath();
    context.rect(frame.left, frame.top, frame.width, frame.height);
    context.clip();
    draw(context);
    context.restore();
  }

  toX(frame, v) { return frame.left + (v - frame.window[0]) / (frame.window[1] - frame.window[0]) * frame.width; }

  toY(frame, v) { return frame.top + frame.height - (v - frame.window[2]) / (frame.window[3] - frame.window[2]) * frame.height; }

  drawMap(frame, map, f, table, highest) {
    const [n1, n2] = map.cells, image = new ImageData(n1, n2), low = map.frames.low[f];
    const scale = (map.frames.high[f] - low) / 255, raw = map.frames.raw, start = f * n1 * n2;
    for (let i = 0; i < n1; i++) for (let j = 0; j < n2; j++) {
      const value = low + scale * raw[start + i * n2 + j];
      const c = 3 * Math.min(Math.max(Math.round(value / (highest || 1) * 255), 0), 255), p = 4 * ((n2 - 1 - j) * n1 + i);
      image.data[p] = table[c]; image.data[p + 1] = table[c + 1]; image.data[p + 2] = table[c + 2]; image.data[p + 3] = 255;
    }
    const cells = element("canvas", { width: n1, height: n2 });
    cells.getContext("2d").putImageData(image, 0, 0);
    const [x0, x1, y0, y1] = map.box, x = this.toX(frame, x0), y = this.toY(frame, y1);
    this.inside(frame, context => context.drawImage(cells, x, y, this.toX(frame, x1) - x, this.toY(frame, y0) - y));
  }

  drawDots(frame, track, f) {
    const [a, b] = frame.axes, n = track.counts[f], size = Math.min(Math.max(frame.width / 7 / Math.sqrt(n), 1.2), 3.4);
    this.inside(frame, context => {
      context.fillStyle = cssColour(track.colour.slice(4, -1));
      context.globalAlpha = n > 400 ? 0.55 : 0.75;
      for (let i = track.starts[f]; i < track.starts[f + 1]; i++) {
        const x = frame.left + track.points[track.axes * i + a] / 65535 * frame.width;
        const y = frame.top + (1 - track.points[track.axes * i + b] / 65535) * frame.height;
        context.beginPath();
        context.arc(x, y, size, 0, 2 * Math.PI);
        context.fill();
      }
    });
  }

  drawEllipses(frame, track, f) {
    const [a, b] = frame.axes, d = track.axes, mean = track.means.subarray(f * d, (f + 1) * d);
    const at = (i, j) => track.covariances[f * d * d + i * d + j];
    const l11 = Math.sqrt(at(a, a)), l21 = at(a, b) / l11, l22 = Math.sqrt(Math.max(at(b, b) - l21 * l21, 0));
    this.inside(frame, context => {
      context.strokeStyle = cssColour(track.colour.slice(4, -1));
      for (const radius of [1, 2, 3]) {
        context.lineWidth = 2.6 - 0.6 * radius;
        context.beginPath();
        for (let k = 0; k <= 90; k++) {
          const u = Math.cos(k / 45 * Math.PI), v = Math.sin(k / 45 * Math.PI);
          context.lineTo(this.toX(frame, mean[a] + radius * l11 * u), this.toY(frame, mean[b] + radius * (l21 * u + l22 * v)));
        }
        context.stroke();
      }
    });
  }

  drawProfile(frame, track, f, table) {
    const values = track.frames.at(f), { context } = frame, low = track.frames.least, high = track.frames.largest;
    if (track.cells.length === 2) {
      frame.window = [0, track.cells[0], 0, track.cells[1]];
      const shifted = { cells: track.cells, box: frame.window, frames: track.frames };
      this.drawMap(frame, shifted, f, table, high);
    } else {
      frame.window = [0, values.length - 1, low, high > low ? high : low + 1];
      this.inside(frame, () => {
        context.strokeStyle = cssColour(track.colour.slice(4, -1));
        context.lineWidth = 1.9;
        context.beginPath();
        values.forEach((v, k) => context.lineTo(this.toX(frame, k), this.toY(frame, v)));
        context.stroke();
      });
    }
    this.drawAxes(frame, ["index", ""]);
  }

  drawAxes(frame, labels = null) {
    const { context, window: box, left, top, width, height } = frame;
    const [first, second] = labels || frame.axes.map(axis => AXES[axis]);
    context.strokeStyle = cssColour("--rule");
    context.lineWidth = 1;
    context.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
    context.fillStyle = cssColour("--soft");
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    for (const v of linearTicks(box[0], box[1], Math.max(Math.floor(width / 46), 2)))
      context.fillText(written(v), this.toX(frame, v), top + height + 14);
    context.fillText(first, left + width / 2, top + height + 28);
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const v of linearTicks(box[2], box[3], Math.max(Math.floor(height / 30), 2)))
      context.fillText(written(v), left - 5, this.toY(frame, v));
    context.save();
    context.translate(9, top + height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(second, 0, 0);
    context.restore();
  }

  caption() {
    const kinds = new Set(this.tracks.map(track => track.kind)), parts = [];
    if (this.line) parts.push("Densities on the line" + (kinds.has("histogram") ? ", clouds as histograms with a tick for some of the particles" : "") + ".");
    if (kinds.has("maps")) parts.push("Densities as maps on one colour scale.");
    if (kinds.has("dots")) parts.push("Clouds as dots.");
    if (kinds.has("ellipses")) parts.push("Gaussians as ellipses of 1, 2 and 3 standard deviations.");
    if (this.data.dimension > 3) parts.push("The first two coordinates are shown.");
    const notes = new Set(this.tracks.filter(track => track.onLine && track.kind === "curve" && track.note).map(track => `${track.name}: ${track.note}.`));
    parts.push(...notes);
    parts.push("One slider moves all of them; each shows its own stored time nearest to the slider’s, nothing is interpolated.");
    const kept = this.times.length;
    if (this.data.stored > kept) parts.push(`Of up to ${this.data.stored} stored times ${kept} are on this page.`);
    return parts.join(" ");
  }
}
