// The steps of a run: what is asked for, and how it is put in. Each step has its number, so that a step which comes
// twice replaces itself and none is left out: the page asks for all after the last one that it has, and again for those
// in which a call may still change.

let internals;

htmx.registerExtension("steps", {
  init(api) {
    internals = api;
  },
  htmx_config_request(element, { ctx }) {
    if (ctx.swap !== "steps") return;
    const have = [...ctx.target.querySelectorAll(":scope > [data-seq]")];
    const url = new URL(ctx.request.action, location.href);
    url.searchParams.set("after", Math.max(-1, ...have.map((step) => Number(step.dataset.seq))));
    for (const step of have) if ("open" in step.dataset) url.searchParams.append("open", step.dataset.seq);
    ctx.request.action = url.pathname + url.search;
  },
  handle_swap(style, list, fragment) {
    if (style !== "steps") return false;
    return [...fragment.children].map((step) => {
      const shown = document.getElementById(step.id);
      if (!shown) {
        const after = [...list.children].find((other) => Number(other.dataset.seq) > Number(step.dataset.seq));
        return list.insertBefore(step, after ?? null);
      }
      const fresh = document.createDocumentFragment();
      fresh.append(step);
      internals.morph(shown, fresh, false); // keeps the focus where it is
      return shown;
    });
  },
});

// What a person unfolded stays unfolded when its part of the page is fetched anew.
function keepOpen(fragment) {
  for (const details of fragment.querySelectorAll("details[id]")) {
    if (document.getElementById(details.id)?.open) details.open = true;
  }
}
document.addEventListener("htmx:before:swap", ({ detail }) => {
  for (const task of detail.tasks) keepOpen(task.fragment);
});

// What the model says just now, before it is a step: shown as it comes, and gone once the step is there or the attempt
// failed. The server says where each piece begins, so that a page which came late, or lost one, shows a gap.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;
const AGAIN_MS = 3000;

function follow(section) {
  const words = section.querySelector(".agent-words");
  const steps = document.getElementById("steps");
  let draft = null;

  const isStored = (step) => document.getElementById(`step-${step}`) !== null;
  const forget = () => {
    draft = null;
    section.hidden = true;
    words.textContent = "";
  };
  const said = ({ step, attempt, start, text }) => {
    if (isStored(step) || (draft && step < draft.step)) return;
    if (text === null) {
      if (draft?.attempt === attempt) forget();
      return;
    }
    const follows = draft?.attempt === attempt && start === draft.length;
    if (draft?.attempt !== attempt || start === 0) words.textContent = "";
    if (start !== 0 && !follows) words.append("… ");
    words.append(text.replace(HIDDEN, "\u25a1")); // as text: nothing in it is markup
    draft = { step, attempt, length: start + [...text].length };
    section.hidden = false;
  };
  const connect = () => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/runs/${section.dataset.run}`);
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(data);
      if (message.event === "run.said") said(message);
    });
    socket.addEventListener("close", ({ code }) => {
      forget();
      if (code < 4000) setTimeout(connect, AGAIN_MS);
    });
  };

  new MutationObserver(() => {
    if (draft && isStored(draft.step)) forget();
  }).observe(steps, { childList: true });
  connect();
}

const section = document.getElementById("draft");
if (section) follow(section);
