"use strict";

// Rows of the gallery: videos are loaded when their row comes near the window, and released when it is far away.

class Row {
  constructor(item) {
    this.item = item;
    this.original = new Panel(item, null);
    this.panels = [this.original, ...item.answers.map((answer) => new Panel(item, answer))];
    for (const panel of this.panels) panel.onload = () => this.paint();
    const title = make("h3", { id: `title-${item.id}` }, make("a", { href: `#video=${item.id}` }, item.sample));
    const about = make("p", {}, "predicted ", make("b", {}, item.prediction), ", goal ", make("b", {}, item.goal));
    const files = Object.entries(item.clips).map(([kind, file]) => make("a", { href: file, download: "", ariaLabel: `Download ${item.sample} as ${kind.toUpperCase()}` }, kind.toUpperCase()));
    this.article = make("article", { className: "record", tabIndex: -1 }, make("div", { className: "heading" }, title, about, make("p", { className: "files" }, ...files)));
    this.article.id = item.id;
    this.article.setAttribute("aria-labelledby", title.id);
    this.strip = make("div", { className: "panels", tabIndex: 0, role: "group", ariaLabel: `Videos of ${item.sample}` });
    this.strip.append(...this.panels.map((panel) => panel.figure));
    this.article.append(this.strip);
    this.choose();
  }

  choose() {
    for (const panel of this.panels) if (panel.answer) panel.figure.hidden = !shownMethods.has(panel.answer.method);
  }

  show() { this.panels.forEach((panel) => panel.show()); }

  hide() { this.panels.forEach((panel) => panel.hide()); }

  get frames() {
    return Math.max(1, ...this.panels.map((panel) => panel.sheet?.frames ?? 1));
  }

  paint() {
    const panels = this.panels.filter((panel) => panel.sheet);
    if (!panels.length || !panels.every((panel) => panel.ready)) return;
    const differences = element("differences").checked;
    for (const panel of panels) panel.paint(player.frame, this.original, differences, element("boxes")?.checked);
    this.article.dataset.frame = Math.min(player.frame, this.frames - 1);
  }
}

const shownMethods = new Set(data.methods.keys());
const near = new Set();
const rows = new Map();
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const row = rows.get(entry.target.id);
    if (entry.isIntersecting) {
      near.add(row);
      row.show();
      player.frames = Math.max(player.frames, row.frames);
      go(player.frame);
    } else if (near.delete(row)) row.hide();
  }
}, { rootMargin: "300px" });

// The player: all videos share one clock.

const player = { frame: 0, frames: 1, playing: false, since: 0 };
const fps = Math.max(1, ...data.first.map((item) => item.fps));

function go(frame) {
  player.frame = ((frame % player.frames) + player.frames) % player.frames;
  element("frame").max = player.frames - 1;
  element("frame").value = player.frame;
  element("at").textContent = `${player.frame + 1} of ${player.frames}`;
  near.forEach((row) => row.paint());
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
  const interval = 1000 / (fps * element("speed").value);
  const passed = Math.floor((now - player.since) / interval);
  if (passed > 0) {
    player.since += passed * interval;
    go(player.frame + passed);
  }
  requestAnimationFrame(advance);
}

function differ() {
  element("list").classList.toggle("differing", element("differences").checked);
  element("list").style.setProperty("--amplified", element("amplify").value);
  go(player.frame);
}

element("frame").addEventListener("input", (event) => {
  play(false);
  go(event.target.valueAsNumber);
});
element("play").addEventListener("click", () => play(!player.playing));
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
element("amplify").addEventListener("change", differ);
element("boxes")?.addEventListener("change", () => go(player.frame));
