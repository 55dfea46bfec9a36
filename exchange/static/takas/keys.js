// API keys: list, create (the secret is shown only then), revoke.

import { ApiError, get, post, remove } from "./api.js";
import { ask } from "./ask.js";
import { byTestId, element } from "./loop.js";
import { toast } from "./toasts.js";

const CLOCK = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

async function attempt(act) {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toast("error", "Refused", error.message);
  }
}

function row(key) {
  const node = element("tr", "", null, { "data-testid": `key-${key.key}` });
  element("td", "mono", node).textContent = key.key;
  element("td", "", node).textContent = key.label || "—";
  element("td", "", node).textContent = key.scopes.join(", ");
  element("td", "", node).textContent = CLOCK.format(new Date(key.created_at));
  const actions = element("td", "actions", node);
  if (key.revoked_at) {
    element("span", "muted", actions).textContent = "revoked";
    return node;
  }
  const button = element("button", "small", actions, {
    type: "button", "data-testid": "key-revoke", "aria-label": `Revoke ${key.label || key.key}`,
  });
  button.textContent = "Revoke";
  button.addEventListener("click", async () => {
    const lines = ["Programs that use it stop working."];
    if (!(await ask({ title: `Revoke ${key.label || key.key}?`, lines, yes: "Revoke it" }))) return;
    await attempt(async () => {
      await remove(`/keys/${key.key}`);
      await list();
    });
  });
  return node;
}

async function list() {
  const { items } = await get("/keys");
  const root = byTestId("keys");
  root.replaceChildren(...items.map(row));
  root.closest("table").classList.toggle("empty", items.length === 0);
}

byTestId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const scopes = ["read", ...(form.elements.trade.checked ? ["trade"] : [])];
  attempt(async () => {
    const key = await post("/keys", { label: form.elements.label.value.trim(), scopes });
    byTestId("new-key").textContent = key.key;
    byTestId("new-secret").textContent = key.secret;
    byTestId("new").hidden = false;
    byTestId("new").focus();
    form.reset();
    await list();
  });
});
byTestId("copy-secret").addEventListener("click", async () => {
  await navigator.clipboard.writeText(byTestId("new-secret").textContent);
  toast("ok", "Secret copied");
});
attempt(list);
