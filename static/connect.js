// The Connect page: one piece of code at a time, and buttons that copy. Without script all of them are shown.

function tabs(root) {
  const list = root.querySelector(".tabs");
  const each = [...list.querySelectorAll("a")];
  const panels = each.map((tab) => document.getElementById(tab.hash.slice(1)));
  list.setAttribute("role", "tablist");
  each.forEach((tab, at) => {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panels[at].id);
    panels[at].setAttribute("role", "tabpanel");
    panels[at].setAttribute("aria-labelledby", tab.id);
  });
  const choose = (at) => {
    each.forEach((tab, other) => {
      tab.setAttribute("aria-selected", String(at === other));
      tab.tabIndex = at === other ? 0 : -1;
      panels[other].hidden = at !== other;
    });
  };
  const go = (at) => {
    choose(at);
    each[at].focus();
    history.replaceState(null, "", each[at].hash);
  };
  each.forEach((tab, at) => tab.addEventListener("click", (event) => {
    event.preventDefault();
    go(at);
  }));
  list.addEventListener("keydown", (event) => {
    const at = each.indexOf(event.target);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: each.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    go((to + each.length) % each.length);
  });
  choose(Math.max(0, each.findIndex((tab) => tab.hash === location.hash)));
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const words = document.querySelector("[data-copied]");
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.firstChild.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source); // without TLS, a page may not write to the clipboard
    button.firstChild.textContent = "Press Ctrl+C";
  }
  words.textContent = button.firstChild.textContent;
  setTimeout(() => {
    button.firstChild.textContent = "Copy";
    words.textContent = "";
  }, 3000);
}

for (const root of document.querySelectorAll("[data-tabs]")) tabs(root);
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}
