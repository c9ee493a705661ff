// Live pages. The server says over /ws/feed which ids changed; this triggers `live` on each element that cares,
// and htmx refetches it, so that permission is checked again:
//
//   <div hx-get="..." hx-trigger="live" data-live="approval run:UUID">
//
// A message {event: "approval.requested", object_id, run_id} has the topics "approval", "approval:OBJECT_ID" and
// "run:RUN_ID"; the topic "any" hears everything. After a reconnect, and every 30 s, everything refetches, so that
// nothing is missed. `gatehouse:changed` on the body tells other scripts the same (detail: {topics} or {all: true}).

const GATHER_MS = 100; // changes come in bursts: refetch once for all of them
const PACE_MS = 1000; // under a stream of changes, no oftener than this
const POLL_MS = 30_000;
const RETRY_MS = [500, 1000, 2000, 5000, 10_000];
const CATCH_UP = new Set(["feed.opened", "feed.missed"]);
const FIRST_REFUSAL = 4000; // close codes from here on: this person may not listen (any more)

let pending = new Set();
let everything = false;
let timer = null;
let lastFlush = 0;
let failures = 0;

function topicsOf(message) {
  const noun = message.event.split(".")[0];
  const topics = [noun, `${noun}:${message.object_id}`];
  if (message.run_id) topics.push(`run:${message.run_id}`);
  return topics;
}

function flush() {
  timer = null;
  lastFlush = Date.now();
  const [topics, all] = [pending, everything];
  pending = new Set();
  everything = false;
  for (const element of document.querySelectorAll("[data-live]")) {
    const wanted = element.dataset.live.split(/\s+/);
    if (all || wanted.some((topic) => topic === "any" || topics.has(topic))) htmx.trigger(element, "live");
  }
  const detail = all ? { all } : { topics: [...topics] };
  document.body.dispatchEvent(new CustomEvent("gatehouse:changed", { detail }));
}

function changed(topics) {
  if (topics) topics.forEach((topic) => pending.add(topic));
  else everything = true;
  timer ??= setTimeout(flush, Math.max(GATHER_MS, lastFlush + PACE_MS - Date.now()));
}

function show(state) {
  const indicator = document.getElementById("connection");
  if (!indicator || indicator.dataset.state === state) return;
  indicator.dataset.state = state;
  indicator.querySelector("[data-connection-words]").textContent = indicator.getAttribute(`data-words-${state}`);
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/feed`);
  socket.addEventListener("open", () => {
    show("live");
    failures = 0;
  });
  socket.addEventListener("message", (event) => {
    const message = JSON.parse(event.data);
    changed(CATCH_UP.has(message.event) ? null : topicsOf(message));
  });
  socket.addEventListener("close", (event) => {
    show("offline");
    if (event.code >= FIRST_REFUSAL) {
      changed(null); // the next request says why, and leads to where that can be mended
      return;
    }
    const delay = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
    setTimeout(connect, delay * (0.75 + Math.random() / 2));
  });
}

if (document.getElementById("connection")) {
  connect();
  setInterval(() => {
    if (!document.hidden) changed(null);
  }, POLL_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) changed(null);
  });
}
