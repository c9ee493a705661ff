// Shows what Gatehouse tells this browser while no page is open, and opens the page that it is about.

self.addEventListener("push", (event) => {
  const told = event.data?.json() ?? { title: "Gatehouse", body: "", url: "/inbox" };
  event.waitUntil(
    self.registration.showNotification(told.title, {
      body: told.body,
      icon: "/static/mark.svg",
      tag: told.url,
      silent: true,
      data: told.url,
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data || "/inbox", self.location.origin);
  const open = url.origin === self.location.origin ? url.href : `${self.location.origin}/inbox`;
  event.waitUntil(self.clients.openWindow(open));
});
