"use strict";

// The theme leaves its search dialog without a name, and wide tables out of reach of the keyboard.

document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
