// A classic script in <head>: it runs before the first paint, so the wrong theme never flashes.
(() => {
  const chosen = localStorage.getItem("takas.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
    const next = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    root.dataset.theme = next;
    localStorage.setItem("takas.theme", next);
  });
})();
