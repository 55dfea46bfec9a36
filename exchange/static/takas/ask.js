// A question before something that cannot be taken back: true after a yes, false after anything else.

import { element } from "./loop.js";

export function ask({ title, lines = [], yes, no = "No, go back" }) {
  const dialog = element("dialog", "ask", document.body, { "aria-labelledby": "ask-title", "data-testid": "ask" });
  element("h2", "", dialog, { id: "ask-title" }).textContent = title;
  for (const line of lines) element("p", "", dialog).textContent = line;
  const choices = element("div", "choices", dialog);
  const button = (answer, text, className) => {
    const node = element("button", className, choices, { type: "button", "data-testid": `ask-${answer}` });
    node.textContent = text;
    node.addEventListener("click", () => dialog.close(answer));
    return node;
  };
  const back = button("no", no, "");
  button("yes", yes, "primary");
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
    back.focus();
  });
}
