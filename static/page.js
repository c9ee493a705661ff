// What every page needs: errors of requests said aloud, and menus that close.

function announce(text) {
  const region = document.getElementById("announcements");
  if (region) region.textContent = text;
}

const UNREACHABLE = "The server can't be reached. Look again before you repeat it.";

document.addEventListener("htmx:after:request", () => {
  const region = document.getElementById("announcements");
  if (region?.textContent === UNREACHABLE) region.textContent = "";
});

document.addEventListener("htmx:response:error", (event) => {
  const status = event.detail.ctx.response.status;
  if (status >= 500) announce(`The server could not do this (error ${status}). Nothing was changed; try again.`);
});
document.addEventListener("htmx:error", (event) => {
  // Refetches of live parts try again by themselves; what a person did must be told to him.
  if (event.detail.ctx?.request.method !== "GET") announce(UNREACHABLE);
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
