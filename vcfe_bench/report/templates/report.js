"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);

// Tables are sorted by the values in their cells, the better end first; missing values stay last.

function value(cell) {
  const text = cell.textContent.trim();
  if (text === "-" || text === "") return null;
  const number = parseFloat(text.replaceAll(",", ""));
  return cell.tagName === "TH" || cell.className === "name" || Number.isNaN(number) ? text : number;
}

function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const other = { ascending: "descending", descending: "ascending" };
    const order = other[head.getAttribute("aria-sort")] ?? head.dataset.first;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(value(a.cells[column]), value(b.cells[column]), sign));
    table.tBodies[0].append(...rows);
  }));
}

// Records: videos are loaded when their record comes near the window, and released when it is far away.

class Record {
  constructor(article) {
    this.article = article;
    this.item = data.items[article.id];
    this.canvases = [...article.querySelectorAll("canvas")];
    this.sheets = null;
  }

  show() {
    const { original, video } = this.item;
    const scale = Math.max(Math.round(256 / video.width), 1);
    for (const canvas of this.canvases) {
      canvas.width = video.width * scale;
      canvas.height = video.height * scale;
    }
    this.sheets = [original, video].map((sheet) => {
      const image = new Image();
      image.onload = () => this.paint();
      image.src = sheet.file;
      return image;
    });
  }

  hide() {
    this.sheets = null;
    for (const canvas of this.canvases) canvas.width = canvas.height = 0;
  }

  paint() {
    if (!this.sheets?.every((image) => image.complete && image.naturalWidth)) return;
    const [original, counterfactual, difference] = this.canvases.map((canvas) => canvas.getContext("2d"));
    this.draw(original, 0, "copy");
    this.draw(counterfactual, 1, "copy");
    this.draw(difference, 0, "copy");
    this.draw(difference, 1, "difference");
    if (element("boxes")?.checked) {
      this.outline(original);
      this.outline(counterfactual);
    }
    this.article.dataset.frame = this.frame();
  }

  frame() {
    return Math.min(player.frame, this.item.video.frames - 1);
  }

  draw(context, side, mode) {
    const { columns, width, height } = side ? this.item.video : this.item.original;
    const frame = this.frame();
    const left = (frame % columns) * width;
    const top = Math.floor(frame / columns) * height;
    context.imageSmoothingEnabled = false;
    context.globalCompositeOperation = mode;
    context.drawImage(this.sheets[side], left, top, width, height, 0, 0, context.canvas.width, context.canvas.height);
  }

  outline(context) {
    const scale = context.canvas.width / this.item.video.width;
    context.globalCompositeOperation = "source-over";
    context.font = "14px system-ui, sans-serif";
    this.item.boxes.forEach((tube, place) => {
      const box = tube[this.frame()];
      if (!box) return;
      const [left, top, right, bottom] = box.map((side) => side * scale);
      for (const [colour, width] of [["#000", 4], ["#ffd400", 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.strokeRect(left, top, right - left, bottom - top);
      }
      const name = this.item.attributes[place] ?? "";
      context.lineWidth = 3;
      context.strokeStyle = "#000";
      context.fillStyle = "#ffd400";
      context.strokeText(name, left + 3, Math.max(top - 4, 14));
      context.fillText(name, left + 3, Math.max(top - 4, 14));
    });
  }
}

const records = [...document.querySelectorAll(".record")].map((article) => new Record(article));
const byId = new Map(records.map((record) => [record.article.id, record]));
const near = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const record = byId.get(entry.target.id);
    if (entry.isIntersecting) {
      near.add(record);
      record.show();
    } else if (near.delete(record)) record.hide();
  }
}, { rootMargin: "300px" });
records.forEach((record) => watcher.observe(record.article));

// The player: all videos share one clock.

const player = { frame: 0, playing: false, since: 0 };
const frames = Math.max(1, ...records.map((record) => record.item.video.frames));

function go(frame) {
  player.frame = ((frame % frames) + frames) % frames;
  element("frame").value = player.frame;
  element("at").textContent = `${player.frame + 1} of ${frames}`;
  near.forEach((record) => record.paint());
}

function step(frames) {
  play(false);
  go(player.frame + frames);
}

function play(on) {
  player.playing = on;
  player.since = performance.now();
  element("play").textContent = on ? "Pause" : "Play";
  element("play").setAttribute("aria-pressed", on);
  if (on) requestAnimationFrame(advance);
}

function advance(now) {
  if (!player.playing) return;
  const interval = 1000 / (data.fps * element("speed").value);
  const passed = Math.floor((now - player.since) / interval);
  if (passed > 0) {
    player.since += passed * interval;
    go(player.frame + passed);
  }
  requestAnimationFrame(advance);
}

function amplify() {
  const factor = element("amplify").value;
  for (const canvas of document.querySelectorAll(".difference")) canvas.style.filter = `brightness(${factor})`;
  for (const place of document.querySelectorAll(".amplified")) place.textContent = factor;
}

element("frame").max = frames - 1;
element("frame").addEventListener("input", (event) => {
  play(false);
  go(event.target.valueAsNumber);
});
element("play").addEventListener("click", () => play(!player.playing));
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
element("amplify").addEventListener("change", amplify);
element("boxes")?.addEventListener("change", () => go(player.frame));
amplify();
go(0);

// Filters, order, and two methods side by side.

const form = element("filters");

function matches({ item }, selected) {
  return ["method", "goal", "prediction", "world", "met", "semantic"].every((field) => !selected[field] || String(item[field]) === selected[field]);
}

function ordered(chosen, metric, first) {
  if (!metric) return chosen;
  const sign = (first === "best") === data.lower.includes(metric) ? 1 : -1;
  const score = (record) => record.item.scores[metric] ?? null;
  return [...chosen].sort((a, b) => compare(score(a), score(b), sign));
}

function pairs(chosen, right) {
  const partners = new Map(records.filter(({ item }) => item.method === right).map((record) => [record.item.question, record]));
  return chosen.flatMap((record) => {
    const partner = partners.get(record.item.question);
    return partner ? [record, partner] : [];
  });
}

function apply() {
  const selected = Object.fromEntries(new FormData(form));
  const comparing = Boolean(selected.left && selected.right && selected.left !== selected.right);
  if (comparing) selected.method = selected.left;
  let chosen = ordered(records.filter((record) => matches(record, selected)), selected.sort, selected.first);
  if (comparing) chosen = pairs(chosen, selected.right);
  element("list").classList.toggle("compare", comparing);
  element("list").replaceChildren(...chosen.map((record) => record.article));
  element("count").textContent = `${chosen.length} of ${records.length}`;
}

form.addEventListener("change", apply);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(apply));

function reveal() {
  const record = byId.get(location.hash.slice(1));
  if (record && !record.article.isConnected) {
    form.reset();
    apply();
    record.article.scrollIntoView();
  }
}

window.addEventListener("hashchange", reveal);

// Keys work within the gallery only.

element("gallery").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input")) return;
  const articles = [...element("list").children];
  const at = articles.indexOf(event.target.closest(".record"));
  const acts = {
    " ": () => play(!player.playing),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    j: () => articles[Math.min(at + 1, articles.length - 1)]?.focus(),
    k: () => articles[Math.max(at - 1, 0)]?.focus(),
  };
  if (!(event.key in acts) || (event.key === " " && event.target.closest("button, summary, a"))) return;
  event.preventDefault();
  acts[event.key]();
});
