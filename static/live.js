// Live pages. The server says over /ws/feed which ids changed; this triggers `live` on each element that cares,
// and htmx refetches it, so that permission is checked again:
//
//   <div hx-get="..." hx-trigger="live" data-live="approval run:UUID">
//
// A message {event: "approval.requested", object_id, run_id} has the topics "approval", "approval:OBJECT_ID" and
// "run:RUN_ID"; the topic "any" hears everything. After a reconnect, and every 30 s, everything refetches, so that
// nothing is missed. What has `data-where-seen` is left alone while it is not displayed. The page says "Live" only while
// the socket answers its pings and the last refetch succeeded. The page says which request it has open, so that others see who looks at it.
// `gatehouse:changed` on the body tells other scripts the same (detail: {topics} or {all: true}).

const GATHER_MS = 100; // changes come in bursts: refetch once for all of them
const PACE_MS = 1000; // under a stream of changes, no oftener than this
const POLL_MS = 30_000;
const PING_MS = 15_000;
const PONG_MS = 10_000;
const REFETCH_MS = 5000; // after a refetch that failed
const RETRY_MS = [500, 1000, 2000, 5000, 10_000];
const CATCH_UP = new Set(["feed.opened", "feed.missed"]);
const URGENT = "halt"; // told without waiting for others
const FIRST_REFUSAL = 4000; // close codes from here on: this person may not listen (any more)

let pending = new Set();
let everything = false;
let timer = null;
let lastFlush = 0;
let failures = 0;
let isOpen = false;
const stale = new Set(); // elements whose last refetch failed
let heardAt = null;
let refetchTimer = null;

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
    if ("whereSeen" in element.dataset && !element.getClientRects().length) continue;
    const wanted = element.dataset.live.split(/\s+/);
    if (all || wanted.some((topic) => topic === "any" || topics.has(topic))) htmx.trigger(element, "live");
  }
  const detail = all ? { all } : { topics: [...topics] };
  document.body.dispatchEvent(new CustomEvent("gatehouse:changed", { detail }));
}

function changed(topics) {
  if (topics) topics.forEach((topic) => pending.add(topic));
  else everything = true;
  if (topics?.includes(URGENT)) {
    clearTimeout(timer);
    timer = setTimeout(flush, 0);
  }
  timer ??= setTimeout(flush, Math.max(GATHER_MS, lastFlush + PACE_MS - Date.now()));
}

function show() {
  const indicator = document.getElementById("connection");
  if (!indicator) return;
  const state = isOpen && !stale.size ? "live" : "offline";
  const words = indicator.getAttribute(`data-words-${state}`);
  const time = heardAt?.toLocaleTimeString("en-GB");
  indicator.dataset.state = state;
  indicator.querySelector("[data-connection-words]").textContent =
    state === "offline" && time ? `${words}: last heard ${time}` : words;
}

function heard() {
  heardAt = new Date();
}

function fetched({ sourceElement }, succeeded) {
  if (succeeded) {
    heard();
    stale.delete(sourceElement);
  } else if (sourceElement.matches("[data-live]")) {
    stale.add(sourceElement);
  }
  for (const element of stale) if (!element.isConnected) stale.delete(element);
  clearTimeout(refetchTimer);
  if (stale.size) refetchTimer = setTimeout(changed, REFETCH_MS, null);
  show();
}

let socketNow = null;
let lookingAt = "";

function sayWhatIsOpen(always) {
  const card = document.querySelector("#card[data-pending]");
  const open = (!document.hidden && card?.dataset.id) || "";
  if (!isOpen || (open === lookingAt && !(always && open))) return;
  lookingAt = open;
  socketNow.send(`looking ${open}`.trim());
}

// A connection can be gone for minutes before the browser notices: what doesn't answer is given up.
function keepAsking(socket, lose) {
  let deadline = null;
  const timer = setInterval(() => {
    socket.send("ping");
    sayWhatIsOpen(true);
    deadline ??= setTimeout(lose, PONG_MS);
  }, PING_MS);
  socket.addEventListener("message", () => {
    clearTimeout(deadline);
    deadline = null;
  });
  return () => {
    clearInterval(timer);
    clearTimeout(deadline);
  };
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/feed`);
  const over = new AbortController();
  const { signal } = over;
  const lose = (code) => {
    over.abort();
    stopAsking?.();
    socket.close();
    isOpen = false;
    show();
    if (code >= FIRST_REFUSAL) {
      changed(null); // the next request says why, and leads to where that can be mended
      return;
    }
    const delay = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)];
    setTimeout(connect, delay * (0.75 + Math.random() / 2));
  };
  let stopAsking = null;
  const onOpen = () => {
    stopAsking = keepAsking(socket, lose);
    isOpen = true;
    socketNow = socket;
    lookingAt = "";
    sayWhatIsOpen(true);
    failures = 0;
    heard();
    show();
  };
  const onMessage = (event) => {
    heard();
    if (event.data === "pong") return;
    const message = JSON.parse(event.data);
    changed(CATCH_UP.has(message.event) ? null : topicsOf(message));
  };
  socket.addEventListener("open", onOpen, { signal });
  socket.addEventListener("message", onMessage, { signal });
  socket.addEventListener("close", (event) => lose(event.code), { signal });
}

if (document.getElementById("connection")) {
  connect();
  document.addEventListener("htmx:error", (event) => {
    if (event.detail.ctx) fetched(event.detail.ctx, false);
  });
  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => fetched(ctx, ctx.response.status < 500));
  setInterval(() => {
    if (!document.hidden) changed(null);
  }, POLL_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) changed(null);
    sayWhatIsOpen(false);
  });
  document.addEventListener("htmx:after:swap", () => sayWhatIsOpen(false));
}
