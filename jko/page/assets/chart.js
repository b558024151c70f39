// Curves over a common abscissa: hover, zoom by dragging, keys, logarithmic axes.
//
// A series is {run, name, colour, dash, x, y, low, high, look}: look "line", "dots", "steps" (x are edges) or
// "band" (from low, or the bottom, to high). Only lines, dots and steps answer to the cursor.

let chartCount = 0;

class Chart {
  constructor(figure, options) {
    this.host = figure.querySelector(".plot");
    this.tools = figure.querySelector(".tools");
    Object.assign(this, { series: [], shown: () => true, logX: false, logY: false, xLabel: "", yLabel: "",
      now: null, onPick: null, yRange: null, xRange: null, zero: false }, options);
    this.id = `chart${chartCount++}`;
    this.zoom = null;
    this.at = null;
    this.readout = element("output", { class: "unseen", "aria-live": "polite" });
    this.host.after(this.readout);
    this.host.tabIndex = 0;
    this.host.setAttribute("role", "application");
    this.host.setAttribute("aria-roledescription", "chart");
    this.host.setAttribute("aria-label", `${this.title}. Left and right move a cursor that reads the values, plus and minus zoom, 0 shows all`);
    this.tip = element("div", { class: "tip", hidden: "" });
    this.addTools();
    this.listen();
    new ResizeObserver(() => { if (this.host.clientWidth !== this.width) this.draw(); }).observe(this.host);
  }

  addTools() {
    const group = element("div", { class: "zoom", role: "group", "aria-label": `zoom of ${this.title}` });
    for (const [sign, name, act] of [["−", "zoom out", () => this.scale(2)], ["+", "zoom in", () => this.scale(0.5)],
      ["all", "show all", () => this.setZoom(null)]]) {
      const button = element("button", { type: "button", "aria-label": name }, sign);
      button.addEventListener("click", act);
      group.append(button);
    }
    this.tools.append(group);
  }

  addBox(text, checked, change) {
    const label = element("label"), box = element("input", { type: "checkbox" });
    box.checked = checked;
    box.addEventListener("change", () => { change(box.checked); this.draw(); });
    label.append(box, text);
    this.tools.insertBefore(label, this.tools.querySelector(".zoom"));
    return box;
  }

  listen() {
    const host = this.host;
    let from = null;
    host.addEventListener("pointermove", event => {
      const pixel = this.pixel(event);
      if (from !== null && Math.abs(pixel - from) > 6) this.markDrag(from, pixel);
      this.moveTo(this.fromX(pixel), false);
    });
    host.addEventListener("pointerdown", event => { from = this.pixel(event); });
    host.addEventListener("pointerup", event => {
      const pixel = this.pixel(event), start = from;
      from = null;
      if (start === null) return;
      if (Math.abs(pixel - start) > 12) this.setZoom([this.fromX(Math.min(start, pixel)), this.fromX(Math.max(start, pixel))]);
      else { this.markDrag(0, 0); if (this.onPick) this.onPick(this.fromX(pixel)); }
    });
    for (const name of ["pointerleave", "pointercancel"])
      host.addEventListener(name, () => { from = null; this.markDrag(0, 0); this.hideCursor(); });
    host.addEventListener("dblclick", () => this.setZoom(null));
    host.addEventListener("blur", () => this.hideCursor());
    host.addEventListener("keydown", event => {
      const acts = { ArrowRight: () => this.stride(1), ArrowLeft: () => this.stride(-1), Home: () => this.stride(-Infinity),
        End: () => this.stride(Infinity), "+": () => this.scale(0.5), "=": () => this.scale(0.5), "-": () => this.scale(2),
        0: () => this.setZoom(null), Escape: () => this.hideCursor(),
        Enter: () => { if (this.onPick && this.at !== null) this.onPick(this.at); } };
      if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      acts[event.key]();
    });
  }

  pixel(event) { return (event.clientX - this.host.getBoundingClientRect().left) * (this.width / this.host.clientWidth); }

  visible() { return this.series.filter(s => this.shown(s.run)); }

  stride(by) {
    const lines = this.visible().filter(s => s.look !== "band" && s.x.length > 1);
    if (!lines.length) return;
    const finest = lines.reduce((a, b) => (b.x.length > a.x.length ? b : a)).x;
    const [low, high] = this.domain;
    let k = this.at === null ? (by > 0 ? -1 : finest.length) : nearestIndex(finest, this.at);
    k = Math.min(Math.max(k + by, 0), finest.length - 1);
    this.moveTo(Math.min(Math.max(finest[k], low), high), true);
  }

  scale(factor) {
    const [low, high] = this.domain, u = v => (this.logX ? Math.log(v) : v), back = v => (this.logX ? Math.exp(v) : v);
    const middle = this.at === null ? (u(low) + u(high)) / 2 : u(this.at), half = (u(high) - u(low)) * factor / 2;
    const [first, last] = this.full;
    const wanted = [Math.max(back(middle - half), first), Math.min(back(middle + half), last)];
    this.setZoom(wanted[0] <= first && wanted[1] >= last ? null : wanted);
  }

  setZoom(range) {
    this.zoom = range && range[1] > range[0] ? range : null;
    this.draw();
  }

  set(series) { this.series = series; this.draw(); }

  range(values, logarithmic) {
    let low = Infinity, high = -Infinity;
    for (const v of values) if (Number.isFinite(v) && (!logarithmic || v > 0)) { low = Math.min(low, v); high = Math.max(high, v); }
    return low > high ? null : [low, high];
  }

  draw() {
    this.width = Math.max(this.host.clientWidth, 200);
    this.height = Math.round(Math.min(Math.max(this.width * 0.46, 230), 390));
    this.box = { left: 62, right: this.width - 14, top: 12, bottom: this.height - 42 };
    const seen = this.visible();
    this.full = (!this.logX && this.xRange) || this.range(seen.flatMap(s => Array.from(s.x)), this.logX) || [0, 1];
    if (this.full[0] === this.full[1]) this.full = [this.full[0] - 0.5, this.full[1] + 0.5];
    this.domain = this.zoom || this.full;
    this.values = this.yRange || this.heights(seen);
    this.host.replaceChildren();
    this.host.insertAdjacentHTML("beforeend", this.svg(seen));
    this.host.append(this.tip);
    this.placeNow();
    if (this.at !== null && !this.tip.hidden) this.moveTo(this.at, false);
  }

  heights(seen) {
    const [low, high] = this.domain, found = [];
    for (const s of seen) {
      const bands = s.look === "band" ? [s.high, ...(s.low ? [s.low] : [])] : [s.y];
      for (const y of bands) for (let i = 0; i < y.length; i++) if (s.x[i] >= low - 1e-12 && s.x[i] <= high + 1e-12) found.push(y[i]);
    }
    const range = this.range(found, this.logY) || [this.logY ? 0.1 : 0, 1];
    if (this.zero && !this.logY) range[0] = Math.min(range[0], 0);
    if (this.logY) {
      range[0] = Math.max(range[0], range[1] * 1e-12);
      const ratio = Math.max(range[1] / range[0], 1.2);
      return [range[0] / ratio ** 0.05, range[1] * ratio ** 0.05];
    }
    const pad = 0.06 * (range[1] - range[0] || Math.abs(range[1]) || 1);
    return [this.zero && range[0] === 0 ? 0 : range[0] - pad, range[1] + pad];
  }

  toX(v) {
    const [low, high] = this.domain, f = this.logX ? Math.log : u => u;
    return this.box.left + (f(v) - f(low)) / (f(high) - f(low)) * (this.box.right - this.box.left);
  }

  fromX(pixel) {
    const [low, high] = this.domain, share = (pixel - this.box.left) / (this.box.right - this.box.left);
    const inside = Math.min(Math.max(share, 0), 1);
    return this.logX ? low * (high / low) ** inside : low + (high - low) * inside;
  }

  toY(v) {
    const [low, high] = this.values, f = this.logY ? Math.log : u => u;
    return this.box.bottom - (f(v) - f(low)) / (f(high) - f(low)) * (this.box.bottom - this.box.top);
  }

  svg(seen) {
    const { left, right, top, bottom } = this.box, parts = [];
    const xTicks = (this.logX ? logTicks : linearTicks)(...this.domain, Math.max(Math.floor((right - left) / 74), 2));
    const yTicks = (this.logY ? logTicks : linearTicks)(...this.values, Math.max(Math.floor((bottom - top) / 36), 2));
    for (const v of yTicks) {
      const y = this.toY(v).toFixed(1);
      parts.push(`<path class="gridline" d="M${left} ${y}H${right}"/><text x="${left - 8}" y="${y}" dy=".33em" text-anchor="end">${written(v, 5)}</text>`);
    }
    for (const v of xTicks) {
      const x = this.toX(v).toFixed(1);
      parts.push(`<path class="axis" d="M${x} ${bottom}v4"/><text x="${x}" y="${bottom + 18}" text-anchor="middle">${written(v, 5)}</text>`);
    }
    parts.push(`<path class="axis" d="M${left} ${bottom}H${right}"/>`);
    parts.push(`<text class="label" x="${(left + right) / 2}" y="${bottom + 36}" text-anchor="middle">${this.xLabel}</text>`);
    parts.push(`<text class="label" transform="translate(13 ${(top + bottom) / 2}) rotate(-90)" text-anchor="middle">${this.yLabel}</text>`);
    parts.push(`<clipPath id="${this.id}"><rect x="${left - (this.zoom ? 0 : 5)}" y="${top - 5}" width="${right - left + (this.zoom ? 0 : 10)}" height="${bottom - top + 6}"/></clipPath>`);
    const bands = seen.filter(s => s.look === "band"), others = seen.filter(s => s.look !== "band");
    parts.push(`<g clip-path="url(#${this.id})">${[...bands, ...others].map(s => this.path(s)).join("")}</g>`);
    parts.push(`<rect class="drag" y="${top}" height="${bottom - top}" width="0"/><path class="now" d=""/><path class="cursor" d=""/><g class="marks"></g>`);
    if (!seen.length) parts.push(`<text x="${(left + right) / 2}" y="${(top + bottom) / 2}" text-anchor="middle">no run is ticked</text>`);
    return `<svg viewBox="0 0 ${this.width} ${this.height}" aria-hidden="true">${parts.join("")}</svg>`;
  }

  path(s) {
    const style = `stroke:${s.colour};stroke-dasharray:${s.dash || "none"}`;
    if (s.look === "band") return `<path d="${this.bandPath(s)}" style="fill:${s.colour};fill-opacity:.14"/>`;
    if (s.look === "steps") return `<path d="${this.stepPath(s)}" style="fill:${s.colour};fill-opacity:.26;stroke:${s.colour};stroke-width:1"/>${this.rugPath(s)}`;
    const points = this.points(s.x, s.y);
    const dots = s.look === "dots" || (points.length <= 45 && s.marked)
      ? points.filter(p => p).map(([x, y]) => `<circle cx="${x}" cy="${y}" r="${s.look === "dots" ? 4 : 2.4}" style="fill:${s.colour}"/>`).join("") : "";
    return (s.look === "dots" ? "" : `<path class="curve" data-run="${s.run}" d="${this.linePath(points)}" style="${style}${s.thin ? ";stroke-width:1.2" : ""}"/>`) + dots;
  }

  points(x, y) {
    const found = [];
    for (let i = 0; i < x.length; i++) {
      const good = Number.isFinite(y[i]) && (!this.logY || y[i] > 0) && (!this.logX || x[i] > 0);
      found.push(good ? [this.toX(x[i]).toFixed(1), this.toY(y[i]).toFixed(1)] : null);
    }
    return found;
  }

  linePath(points) {
    let pen = "M", text = "";
    for (const p of points) { if (p) { text += pen + p[0] + " " + p[1]; pen = "L"; } else pen = "M"; }
    return text;
  }

  bandPath(s) {
    const floor = new Float64Array(s.x.length).fill(this.values[0]);
    const low = s.low ? s.low.map(v => (this.logY && !(v > 0) ? this.values[0] : v)) : floor;
    const ahead = this.points(s.x, s.high), back = this.points(s.x, low);
    const kept = ahead.map((p, i) => p && back[i] ? i : -1).filter(i => i >= 0);
    if (kept.length < 2) return "";
    return "M" + kept.map(i => ahead[i].join(" ")).join("L") + "L" + kept.reverse().map(i => back[i].join(" ")).join("L") + "Z";
  }

  stepPath(s) {
    const base = this.toY(Math.max(this.values[0], this.logY ? this.values[0] : 0)).toFixed(1);
    let text = `M${this.toX(s.x[0]).toFixed(1)} ${base}`;
    for (let i = 0; i < s.y.length; i++) {
      const y = this.logY && !(s.y[i] > 0) ? base : this.toY(s.y[i]).toFixed(1);
      text += `V${y}H${this.toX(s.x[i + 1]).toFixed(1)}`;
    }
    return text + `V${base}Z`;
  }

  rugPath(s) {
    if (!s.rug) return "";
    const d = Array.from(s.rug, x => `M${this.toX(x).toFixed(1)} ${this.box.bottom}v-6`).join("");
    return `<path d="${d}" style="stroke:${s.colour};stroke-width:1;opacity:.5"/>`;
  }

  placeNow() {
    const line = this.host.querySelector(".now");
    const t = this.now === null ? NaN : this.now, [low, high] = this.domain;
    line.setAttribute("d", t >= low && t <= high && (!this.logX || t > 0) ? `M${this.toX(t).toFixed(1)} ${this.box.top}V${this.box.bottom}` : "");
  }

  setNow(t) { this.now = t; if (this.box) this.placeNow(); }

  markDrag(from, to) {
    const mark = this.host.querySelector(".drag");
    const a = Math.max(Math.min(from, to), this.box.left), b = Math.min(Math.max(from, to), this.box.right);
    mark.setAttribute("x", a);
    mark.setAttribute("width", Math.max(b - a, 0));
  }

  moveTo(x, aloud) {
    this.at = x;
    const rows = [], marks = [];
    for (const s of this.visible()) {
      if (s.look === "band" || !s.x.length) continue;
      const k = s.look === "steps" ? Math.min(Math.max(s.x.findIndex(e => e > x) - 1, 0), s.y.length - 1) : nearestIndex(s.x, x);
      const u = s.look === "steps" ? (s.x[k] + s.x[k + 1]) / 2 : s.x[k];
      if (x > s.x[s.x.length - 1] + 1e-9 * Math.abs(x) && s.ends) continue;
      rows.push({ s, u, y: s.y[k], more: s.uncertainty ? ` ± ${written(s.uncertainty[k], 2)}` : "" });
      if (Number.isFinite(s.y[k]) && (!this.logY || s.y[k] > 0))
        marks.push(`<circle cx="${this.toX(u).toFixed(1)}" cy="${this.toY(s.y[k]).toFixed(1)}" r="3.6" style="fill:${s.colour};stroke:var(--paper)"/>`);
    }
    const pixel = this.toX(x);
    this.host.querySelector(".cursor").setAttribute("d", `M${pixel.toFixed(1)} ${this.box.top}V${this.box.bottom}`);
    this.host.querySelector(".marks").innerHTML = marks.join("");
    this.fillTip(rows, x, pixel);
    if (aloud) this.readout.textContent = `${this.cursorName} ${written(x)}: ` + rows.map(r => `${r.s.name} ${written(r.y, 6)}${r.more}`).join(", ");
  }

  fillTip(rows, x, pixel) {
    const table = element("table"), head = element("td", { colspan: 3 }, `${this.cursorName} = ${written(x)}`);
    table.append(element("tr"));
    table.firstChild.append(head);
    for (const r of rows) {
      const line = element("tr"), colour = element("td"), name = element("td", {}, r.s.name);
      colour.innerHTML = `<i style="background:${r.s.colour}"></i>`;
      line.append(colour, name, element("td", {}, written(r.y, 6) + r.more));
      table.append(line);
    }
    this.tip.replaceChildren(table);
    this.tip.hidden = false;
    const share = this.host.clientWidth / this.width, width = this.tip.offsetWidth;
    const right = pixel * share + 14 + width <= this.host.clientWidth;
    this.tip.style.left = `${Math.max(right ? pixel * share + 14 : pixel * share - 14 - width, 0)}px`;
    this.tip.style.top = "14px";
  }

  hideCursor() {
    this.at = null;
    this.tip.hidden = true;
    if (!this.box) return;
    this.host.querySelector(".cursor").setAttribute("d", "");
    this.host.querySelector(".marks").innerHTML = "";
  }
}
