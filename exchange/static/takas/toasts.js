// Short notices. Refusals are announced at once, the rest politely.

import { byTestId, element } from "./loop.js";

const SHOWN_MAX = 4;
const SHOWN_MS = { ok: 5_000, info: 5_000, error: 9_000 };

export function toast(kind, title, detail = "") {
  const list = byTestId("toasts");
  const node = element("div", `toast ${kind}`, null, {
    role: kind === "error" ? "alert" : "status", "data-testid": `toast-${kind}`,
  });
  element("strong", "", node).textContent = title;
  if (detail) element("span", "", node).textContent = detail;
  const close = element("button", "quiet", node, { type: "button", "aria-label": "Dismiss" });
  close.textContent = "×";
  close.addEventListener("click", () => node.remove());
  list.append(node);
  while (list.children.length > SHOWN_MAX) list.firstElementChild.remove();
  setTimeout(() => node.remove(), SHOWN_MS[kind]);
}
