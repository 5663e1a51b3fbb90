"use strict";

// The list: what the filters select, in order. The first rows are added as the end of the list comes near the window,
// the others on request.

const STEP = 6;
// Rows that are added without a request, so that what is below the list stays in reach.
const ALONE = 24;
const form = element("filters");
const gallery = { chosen: [...Array(data.count).keys()], added: 0, change: 0 };

function selection() {
  const selected = Object.fromEntries(new FormData(form));
  return { ...selected, show: new FormData(form).getAll("show") };
}

function filtering(selected) {
  return ["prediction", "goal", "world", "met", "semantic"].filter((field) => selected[field]);
}

function judged(selected) {
  return selected.by ? [data.methods.indexOf(selected.by)] : [...shownMethods];
}

async function choose(selected) {
  let chosen = [...Array(data.count).keys()];
  const fields = filtering(selected);
  const methods = judged(selected);
  if (fields.length) {
    const index = await load("index");
    const world = data.worlds.indexOf(selected.world);
    const tests = {
      prediction: (row) => index.prediction[row] === selected.prediction,
      goal: (row) => index.goal[row] === selected.goal,
      world: (row) => index.world[row] === world,
      answers: (row) => methods.some((method) => ["met", "semantic"].every((field) => !selected[field] || index[field][method][row] === Number(selected[field]))),
    };
    const asked = fields.map((field) => tests[field] ?? tests.answers);
    chosen = chosen.filter((row) => asked.every((test) => test(row)));
  }
  if (!selected.sort) return chosen;
  const scores = await load(`score-${data.scores.indexOf(selected.sort)}`);
  const sign = (selected.first === "best") === data.lower.includes(selected.sort) ? 1 : -1;
  const keys = new Map(chosen.map((row) => [row, mean(methods.map((method) => scores[method][row]))]));
  return chosen.sort((a, b) => compare(keys.get(a), keys.get(b), sign));
}

function mean(values) {
  const known = values.filter((each) => each !== null);
  return known.length ? known.reduce((sum, each) => sum + each, 0) / known.length : null;
}

async function extend(count = STEP) {
  const { change, chosen, added } = gallery;
  const places = chosen.slice(added, added + count);
  gallery.added += places.length;
  const items = await Promise.all(places.map(rowAt));
  if (change !== gallery.change) return;
  for (const item of items) {
    if (!rows.has(item.id)) rows.set(item.id, new Row(item));
    const row = rows.get(item.id);
    row.choose();
    element("list").append(row.article);
    watcher.observe(row.article);
  }
  end.unobserve(element("more"));
  element("more").hidden = gallery.added >= chosen.length;
  if (gallery.added < Math.min(chosen.length, ALONE)) end.observe(element("more"));
}

const end = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) extend();
}, { rootMargin: "600px" });

async function apply() {
  const selected = selection();
  shownMethods.clear();
  for (const name of selected.show) shownMethods.add(data.methods.indexOf(name));
  const change = ++gallery.change;
  const chosen = await choose(selected);
  if (change !== gallery.change) return;
  Object.assign(gallery, { chosen, added: 0 });
  watcher.disconnect();
  near.forEach((row) => row.hide());
  near.clear();
  element("list").replaceChildren();
  element("count").textContent = `${chosen.length} of ${data.count}`;
  differ();
  await extend();
}

// The address holds what is selected, so that a view can be sent to somebody.

function remember(video) {
  const selected = selection();
  const words = new URLSearchParams();
  for (const field of ["prediction", "goal", "world", "met", "semantic", "sort", "by"]) if (selected[field]) words.set(field, selected[field]);
  if (selected.sort && selected.first !== "best") words.set("first", selected.first);
  if (selected.show.length < data.methods.length) selected.show.forEach((name) => words.append("show", name));
  if (selected.differences) words.set("differences", "on");
  if (video) words.set("video", video);
  history.replaceState(null, "", words.size ? `#${words}` : location.pathname + location.search);
}

function restore(words) {
  form.reset();
  for (const field of ["prediction", "goal", "world", "met", "semantic", "sort", "first", "by"]) {
    if (words.has(field) && form.elements[field]) form.elements[field].value = words.get(field);
  }
  if (words.has("show")) for (const box of document.querySelectorAll("[name=show]")) box.checked = words.getAll("show").includes(box.value);
  element("differences").checked = words.has("differences");
  document.querySelector("details.filters").open = ["prediction", "goal", "world", "met", "semantic", "sort", "by", "show"].some((field) => words.has(field));
}

async function follow() {
  const text = location.hash.slice(1);
  if (text && !text.includes("=")) return;
  const words = new URLSearchParams(text);
  restore(words);
  await apply();
  if (words.has("video")) await reveal(words.get("video"));
}

async function reveal(video) {
  while (!element(video) && gallery.added < gallery.chosen.length) await extend(data.page);
  const article = element(video);
  article?.scrollIntoView();
  article?.focus({ preventScroll: true });
}

element("more").addEventListener("click", () => extend(data.page));
form.addEventListener("change", () => {
  remember();
  apply();
});
form.addEventListener("submit", (event) => event.preventDefault());
form.querySelector("[type=reset]").addEventListener("click", () => setTimeout(() => {
  remember();
  apply();
}));
element("differences").addEventListener("change", () => {
  remember();
  differ();
});
element("list").addEventListener("click", (event) => {
  const link = event.target.closest("h3 a");
  if (!link) return;
  event.preventDefault();
  const { id } = link.closest(".record");
  remember(id);
  reveal(id);
});
window.addEventListener("hashchange", follow);

// Keys work within the gallery only.

element("gallery").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input")) return;
  const articles = [...element("list").children];
  const at = articles.indexOf(event.target.closest(".record"));
  const acts = {
    " ": () => play(!player.playing),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    d: () => element("differences").click(),
    j: () => articles[Math.min(at + 1, articles.length - 1)]?.focus(),
    k: () => articles[Math.max(at - 1, 0)]?.focus(),
  };
  if (!(event.key in acts) || (event.key === " " && event.target.closest("button, summary, a"))) return;
  event.preventDefault();
  acts[event.key]();
});

play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
follow();
