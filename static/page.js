// What every page needs: errors of requests said aloud, and menus that close.

function announce(text) {
  const region = document.getElementById("announcements");
  if (region) region.textContent = text;
}

const UNREACHABLE = "The server can't be reached. Look again before you repeat it.";
const READ_MS = 5000; // the note stays this long at least: a refetch under way may succeed the moment after
let unreachableAt = 0;

function takeBackUnreachable() {
  const region = document.getElementById("announcements");
  if (region?.textContent === UNREACHABLE && Date.now() - unreachableAt >= READ_MS) region.textContent = "";
}

document.addEventListener("htmx:after:request", () => {
  if (unreachableAt) setTimeout(takeBackUnreachable, Math.max(0, unreachableAt + READ_MS - Date.now()));
});

document.addEventListener("htmx:response:error", (event) => {
  const status = event.detail.ctx.response.status;
  if (status >= 500) announce(`The server could not do this (error ${status}). Nothing was changed; try again.`);
});
document.addEventListener("htmx:error", (event) => {
  // Refetches of live parts try again by themselves; what a person did must be told to him.
  if (event.detail.ctx?.request.method === "GET") return;
  unreachableAt = Date.now();
  announce(UNREACHABLE);
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
