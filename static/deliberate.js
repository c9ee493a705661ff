// A decision is taken only by a press that was meant for it. A button that has just appeared under the pointer rests
// for a moment, and a press that is part of a double click counts once: where the first one led to is not pressed too.

const REST_MS = 700;
const BUTTONS = "#pane .decide :is([type=submit], [data-close])";
const CONTROLS = "#pane .decide :is(a, button, summary)";

const awake = new WeakSet();
const timers = new WeakMap();

const inClosedStep = (button) => button.closest("details.step:not([open])") !== null;

function rest(button) {
  clearTimeout(timers.get(button));
  awake.delete(button);
  button.setAttribute("aria-disabled", "true");
  timers.set(button, setTimeout(() => wake(button), REST_MS));
}

function wake(button) {
  if (inClosedStep(button)) return; // it rests from when its step opens
  awake.add(button);
  button.removeAttribute("aria-disabled");
}

function restNewcomers() {
  for (const button of document.querySelectorAll(BUTTONS)) if (!timers.has(button)) rest(button);
}

document.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest(BUTTONS);
    const isRepeated = event.detail > 1 && event.target.closest(CONTROLS);
    if (!isRepeated && (!button || awake.has(button))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  { capture: true },
);

// `toggle` doesn't bubble.
document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.matches("details.step")) event.target.querySelectorAll(BUTTONS).forEach(rest);
  },
  { capture: true },
);

document.addEventListener("htmx:after:swap", restNewcomers);
restNewcomers();
