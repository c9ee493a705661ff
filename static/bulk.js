// Choosing several requests: with the mouse, shift for a range, or x and shift+x on the row that has the focus.
// What is chosen is an id with the digest as it was shown: a row that changes under the choice is chosen no more.

const chosen = new Set();
let last = null;
const boxes = () => [...document.querySelectorAll(".row-check")];
const inQueue = () => document.getElementById("bulk") !== null;

function show() {
  const count = boxes().filter((box) => box.checked).length;
  const form = document.getElementById("bulk");
  if (form) {
    form.hidden = count === 0;
    form.querySelector("[data-chosen-count]").textContent = count;
  }
  const ticked = document.querySelector("[data-ticked]");
  if (ticked) {
    ticked.hidden = false;
    ticked.textContent = `${count} ${count === 1 ? "is" : "are"} ticked`;
  }
}

function keep(box) {
  if (box.checked) chosen.add(box.value);
  else chosen.delete(box.value);
}

// From the box that was changed last to this one, all become as this one is. High risk is ticked one by one.
function through(box) {
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
  if (from < 0) return;
  for (const each of all.slice(from, to + 1)) {
    const isHigh = each.parentElement.querySelector(".row-link.risk-high, .row-link:not(.risk-medium, .risk-low)");
    if (each === box || !box.checked || !isHigh) each.checked = box.checked;
    keep(each);
  }
}

function changed(box, isRange) {
  if (isRange) through(box);
  keep(box);
  last = box;
  show();
}

document.addEventListener("click", (event) => {
  if (event.target.matches(".row-check")) changed(event.target, event.shiftKey);
  const fill = event.target.closest(".bulk [data-fill]");
  if (fill) document.querySelector(fill.dataset.fill).value = fill.textContent;
});

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "x" || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (document.querySelector("dialog[open]")) return;
  const row = event.target.closest?.(".rows li") ?? document.querySelector("#queue [aria-current]")?.closest("li");
  const box = row?.querySelector(".row-check");
  if (!box || event.target.matches("textarea, input:not([type=checkbox]), select")) return;
  event.preventDefault();
  box.checked = !box.checked;
  changed(box, event.shiftKey);
});

document.addEventListener("htmx:after:swap", () => {
  if (!inQueue()) return;
  for (const box of boxes()) box.checked = chosen.has(box.value);
  const there = new Set(boxes().map((box) => box.value));
  for (const value of chosen) if (!there.has(value)) chosen.delete(value);
  show();
});

for (const element of document.querySelectorAll(".bulk .presets[hidden]")) element.hidden = false;
boxes().filter((box) => box.checked).forEach(keep);
show();
