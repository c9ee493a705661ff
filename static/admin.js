// What a screen reader needs of the admin's pages and Unfold leaves out: where the content is, and which of the
// parts that scroll is which.
document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("main")?.setAttribute("role", "main");
  document.querySelectorAll("[data-simplebar]").forEach((part, place) => {
    part.dataset.simplebarAriaLabel = part.id === "nav-sidebar-apps" ? "Menu" : `Table ${place}`;
  });
});
