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
