"use strict";

// A panel shows one video of a row: the original, or the counterfactual of a method, or its difference to the original.

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

class Panel {
  constructor(row, answer) {
    this.row = row;
    this.answer = answer;
    this.sheet = answer ? answer.video : row.original;
    this.canvas = this.sheet && make("canvas", { role: "img", ariaLabel: this.describe() });
    if (this.canvas) this.canvas.style.aspectRatio = `${this.sheet.width} / ${this.sheet.height}`;
    if (this.canvas && answer) this.canvas.className = "counterfactual";
    this.figure = make("figure", { className: answer ? "answer" : "original" }, this.canvas || this.absent(), this.caption());
    if (answer) this.figure.id = answer.id;
    this.image = null;
  }

  describe() {
    if (!this.answer) return `Original ${this.row.sample}, predicted ${this.row.prediction}`;
    const outcome = this.answer.met ? "flipped" : "not flipped";
    return `Counterfactual of ${data.methods[this.answer.method]}, predicted ${this.answer.prediction}, ${outcome}`;
  }

  absent() {
    return make("p", { className: "absent" }, this.answer ? `${this.answer.status}: ${this.answer.reason}` : "no video is stored");
  }

  caption() {
    if (!this.answer) return make("figcaption", {}, make("b", {}, "original"), make("span", {}, this.row.prediction));
    const { answer } = this;
    const caption = make("figcaption", {}, make("b", { title: data.methods[answer.method] }, data.methods[answer.method]));
    if (!answer.video) return caption;
    const badge = make("span", { className: answer.met ? "badge yes" : "badge no", title: answer.met ? "flipped" : "not flipped" }, answer.met ? "✓" : "✗");
    badge.append(make("span", { className: "aside" }, answer.met ? " flipped" : " not flipped"));
    caption.append(make("span", {}, `${answer.prediction} `, badge), this.scores());
    return caption;
  }

  scores() {
    const { answer } = this;
    const list = make("dl", {});
    for (const [name, text] of Object.entries(answer.scores)) list.append(make("div", {}, make("dt", {}, name), make("dd", {}, text)));
    const details = make("details", {}, make("summary", { ariaLabel: `Scores of ${data.methods[answer.method]}` }, "scores"), list);
    if (answer.attributes.length) details.append(make("p", {}, `explained by ${answer.attributes.join(", ")}`));
    return details;
  }

  show() {
    if (!this.sheet || this.image) return;
    const scale = Math.max(Math.round(256 / this.sheet.width), 1);
    this.canvas.width = this.sheet.width * scale;
    this.canvas.height = this.sheet.height * scale;
    this.image = new Image();
    this.image.src = this.sheet.file;
    this.image.onload = () => this.onload?.();
  }

  hide() {
    this.image = null;
    if (this.canvas) this.canvas.width = this.canvas.height = 0;
  }

  get ready() {
    return Boolean(this.image?.complete && this.image.naturalWidth);
  }

  paint(frame, original, differences, boxes) {
    const context = this.canvas.getContext("2d");
    this.draw(context, frame, "copy");
    if (this.answer && differences) original.drawOn(context, frame);
    else if (this.answer && boxes) this.outline(context, this.answer, frame);
    else if (boxes) for (const answer of this.row.answers) this.outline(context, answer, frame);
  }

  drawOn(context, frame) {
    this.draw(context, frame, "difference");
  }

  draw(context, frame, mode) {
    const { columns, width, height, frames } = this.sheet;
    const at = Math.min(frame, frames - 1);
    context.imageSmoothingEnabled = false;
    context.globalCompositeOperation = mode;
    context.drawImage(
      this.image, (at % columns) * width, Math.floor(at / columns) * height, width, height,
      0, 0, context.canvas.width, context.canvas.height,
    );
  }

  outline(context, answer, frame) {
    const scale = context.canvas.width / this.sheet.width;
    context.globalCompositeOperation = "source-over";
    context.font = "14px system-ui, sans-serif";
    answer.boxes.forEach((tube, place) => {
      const box = tube[Math.min(frame, tube.length - 1)];
      if (!box) return;
      const [left, top, right, bottom] = box.map((side) => side * scale);
      for (const [colour, width] of [["#000", 4], ["#ffd400", 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = width;
        context.strokeRect(left, top, right - left, bottom - top);
      }
      const name = answer.attributes[place] ?? "";
      context.lineWidth = 3;
      context.strokeStyle = "#000";
      context.fillStyle = "#ffd400";
      context.strokeText(name, left + 3, Math.max(top - 4, 14));
      context.fillText(name, left + 3, Math.max(top - 4, 14));
    });
  }
}
