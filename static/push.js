// Being told in this browser: only after a press, and after the browser has asked its person.

const form = document.getElementById("push-form");
const status = document.getElementById("push-status");
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));

if (!("serviceWorker" in navigator) || !("PushManager" in window)) {
  status.textContent = "This browser can't be told, or only over https.";
} else {
  form.hidden = false;
}

form.addEventListener("submit", async (event) => {
  if (form.elements.endpoint.value) return;
  event.preventDefault();
  try {
    if ((await Notification.requestPermission()) !== "granted") {
      status.textContent = "The browser was not allowed to show messages: change that in its settings for this site.";
      return;
    }
    const registration = await navigator.serviceWorker.register("/push-worker.js");
    await navigator.serviceWorker.ready;
    const options = { userVisibleOnly: true, applicationServerKey: bytes(form.dataset.key) };
    const made = (await registration.pushManager.subscribe(options)).toJSON();
    form.elements.endpoint.value = made.endpoint;
    form.elements.p256dh.value = made.keys.p256dh;
    form.elements.auth.value = made.keys.auth;
    form.requestSubmit();
  } catch (error) {
    status.textContent = `The browser could not subscribe: ${error.message}`;
  }
});
