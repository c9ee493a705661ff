// The inbox by keyboard, and what follows a swap: the open row is marked, the new card gets the focus.

const find = (selector) => document.querySelector(selector);
const rows = () => [...document.querySelectorAll("#queue .row-link")];
const typing = (element) =>
  element.isContentEditable || (element.matches("input, textarea, select") && !element.matches("[type=checkbox]"));

function markOpenRow() {
  const open = find("#card")?.dataset.id;
  for (const row of rows()) {
    if (open && row.pathname.endsWith(open)) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

// Buttons that only a script can serve are hidden until there is one.
function enhance() {
  for (const element of document.querySelectorAll(".presets[hidden], [data-close][hidden]")) element.hidden = false;
}

function move(by) {
  const list = rows();
  if (!list.length) return;
  const here = list.indexOf(document.activeElement);
  const from = here >= 0 ? here : list.findIndex((row) => row.getAttribute("aria-current"));
  const next = from < 0 ? 0 : Math.min(Math.max(from + by, 0), list.length - 1);
  list[next].focus();
}

function openStep(summary) {
  const step = summary.parentElement;
  step.open = true;
  const body = step.querySelector(".step-body");
  (body.querySelector("textarea") ?? body).focus();
  body.scrollIntoView({ block: "nearest" });
}

function press(key) {
  const control = find(`#pane [data-key="${key}"]`);
  if (!control || control.disabled) return;
  if (control.matches("summary")) openStep(control);
  else if (control.matches("a")) control.click();
  else if (document.activeElement === control) control.click();
  else control.focus();
}

function openFilter() {
  const filters = find(".filters");
  filters.open = true;
  filters.querySelector("input").focus();
}

// From view to view; Enter opens the one that has the focus.
function nextView() {
  const views = [...document.querySelectorAll(".views > a")];
  const here = views.indexOf(document.activeElement);
  const from = here >= 0 ? here : views.findIndex((view) => view.getAttribute("aria-current"));
  views[(from + 1) % views.length]?.focus();
}

function back() {
  const step = find("#pane details.step[open]");
  if (step) {
    step.open = false;
    step.querySelector("summary").focus();
  } else {
    find('#pane [data-key="Escape"]')?.click();
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || find("dialog[open]")) return;
  if (event.key === "Escape") {
    if (typing(event.target)) event.target.blur();
    else back();
    return;
  }
  if (typing(event.target) || document.documentElement.dataset.keys === "off") return;
  const action = {
    j: () => move(1),
    k: () => move(-1),
    a: () => press("a"),
    r: () => press("r"),
    e: () => press("e"),
    f: openFilter,
    v: nextView,
    "?": () => find("#keys").showModal(),
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

document.addEventListener("click", (event) => {
  const target = event.target;
  if (target.closest("[data-help]")) find("#keys").showModal();
  const fill = target.closest("[data-fill]");
  if (fill) {
    const field = find(fill.dataset.fill);
    field.value = fill.textContent;
    field.focus();
  }
  if (target.closest("[data-close]")) back();
});

// When the time of the open request is up, its card says so at once.
document.addEventListener("gatehouse:over", (event) => {
  if (event.target.closest("#card")) htmx.trigger(find("#changed"), "live");
});

document.addEventListener("htmx:after:swap", (event) => {
  enhance();
  markOpenRow();
  const { target, sourceElement, sourceEvent } = event.detail.ctx;
  if (target?.id !== "pane" || sourceEvent?.type === "live") return;
  if (sourceElement?.matches(".row-link")) find("#notice").replaceChildren();
  const problem = find("#problem");
  if (problem) problem.tabIndex = -1;
  const start = find("#pane [aria-invalid]") ?? problem ?? find("#edit-form .form-control") ?? find("#card-title");
  start?.focus({ preventScroll: true });
  if (!start?.matches(".form-control")) find(".pane-side").scrollIntoView({ block: "start" });
});

// A request that was not there before is heard, where the person wants that. A browser allows it once the page was used.
let known = new Set(rows().map((row) => row.getAttribute("href")));
document.addEventListener("htmx:after:swap", () => {
  const now = rows().map((row) => row.getAttribute("href"));
  const arrived = now.some((href) => !known.has(href));
  known = new Set(now);
  if (arrived && document.documentElement.dataset.sound === "on") sound();
});

function sound() {
  const audio = new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  tone.frequency.value = 660;
  volume.gain.setValueAtTime(0.08, audio.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.4);
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + 0.4);
  tone.onended = () => audio.close();
}

enhance();
markOpenRow();
