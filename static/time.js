// Times in words that stay true: `<time data-relative>` ("3 min ago") and `<time data-countdown>` ("4:59 left").
// The server's clock counts, not this machine's: <html data-now> says what it showed when the page was made.

const skew = Date.parse(document.documentElement.dataset.now) - Date.now();
const MINUTE = 60, HOUR = 3600, DAY = 86_400;

function words(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} min`;
  return `${Math.floor(seconds / DAY)} d ${Math.floor((seconds % DAY) / HOUR)} h`;
}

function countdown(seconds, length) {
  if (seconds <= 0) return "time is up";
  if (seconds >= HOUR && length === "short") return `${words(seconds).split(" ").slice(0, 2).join(" ")} left`;
  if (seconds >= HOUR) return `${words(seconds)} left`;
  return `${Math.floor(seconds / MINUTE)}:${String(Math.floor(seconds % MINUTE)).padStart(2, "0")} left`;
}

function tick() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const past = (now - Date.parse(time.dateTime)) / 1000;
    const text = past < 5 ? "just now" : `${words(past)} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of document.querySelectorAll("time[data-countdown]")) {
    const left = (Date.parse(time.dateTime) - now) / 1000;
    const text = countdown(left, time.dataset.countdown);
    if (left <= 0 && text !== time.textContent) time.dispatchEvent(new CustomEvent("gatehouse:over", { bubbles: true }));
    if (time.textContent !== text) time.textContent = text;
    time.classList.toggle("is-urgent", left < 5 * MINUTE);
  }
}

setInterval(tick, 1000);
document.addEventListener("htmx:after:swap", tick);
tick();
