// A question before a step that cannot be undone: true after a yes, false after anything else.

import { element } from "./loop.js";

export function ask({ title, lines = [], yes, no = "No, go back" }) {
  const dialog = element("dialog", "ask", document.body, { "aria-labelledby": "ask-title", "data-testid": "ask" });
  element("h2", "", dialog, { id: "ask-title" }).textContent = title;
  for (const line of lines) element("p", "", dialog).textContent = line;
  const choices = element("div", "choices", dialog);
  return new Promise((resolve) => {
    // Remove it at once, so that a second click meets the next question and not this one.
    const finish = (answer) => {
      dialog.remove();
      resolve(answer);
    };
    const button = (answer, text, className) => {
      const node = element("button", className, choices, { type: "button", "data-testid": `ask-${answer}` });
      node.textContent = text;
      node.addEventListener("click", () => finish(answer === "yes"));
      return node;
    };
    const back = button("no", no, "");
    button("yes", yes, "primary");
    dialog.addEventListener("close", () => finish(false));
    dialog.showModal();
    back.focus();
  });
}
