"use strict";

// Tables are sorted by the values in their cells, the better end first; missing values stay last.

function value(cell) {
  const text = cell.textContent.trim();
  if (text === "–" || text === "") return null;
  const number = parseFloat(text.replaceAll(",", ""));
  return cell.tagName === "TH" || cell.className === "name" || Number.isNaN(number) ? text : number;
}

function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
}

for (const table of document.querySelectorAll("table.sortable, table.summary")) {
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

// Below the summary stands what the column means that was pointed at, focused or touched.

for (const section of document.querySelectorAll("section:has(> .about)")) {
  const about = section.querySelector(".about");
  for (const button of section.querySelectorAll("th button[title]")) {
    const explain = () => { about.textContent = `${button.textContent.trim()}: ${button.title}`; };
    for (const event of ["focus", "pointerenter", "click"]) button.addEventListener(event, explain);
  }
}
