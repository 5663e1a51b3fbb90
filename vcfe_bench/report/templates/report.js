"use strict";

// The page's data. Files of data call ``receive``; ``load`` gives the value of a file, and reads it once.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const waiting = new Map([["page-0", { promise: Promise.resolve(data.first) }]]);

function load(name) {
  if (!waiting.has(name)) {
    const entry = {};
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    waiting.set(name, entry);
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onload = () => script.remove();
    script.onerror = () => {
      waiting.delete(name);
      entry.reject(new Error(`data/${name}.js is missing`));
    };
    document.head.append(script);
  }
  return waiting.get(name).promise;
}

function receive(name, value) {
  waiting.get(name).resolve(value);
}

async function rowAt(place) {
  const page = await load(`page-${Math.floor(place / data.page)}`);
  return page[place % data.page];
}
