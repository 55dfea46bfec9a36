// One animation-frame loop for the whole page: messages change state and mark a painter dirty.

const dirty = new Set();
let isScheduled = false;

export function repaint(painter) {
  dirty.add(painter);
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    const painters = [...dirty];
    dirty.clear();
    for (const paint of painters) paint();
  });
}

// Writes only a changed text: an unchanged node costs no layout.
export function setText(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

export const byTestId = (id) => document.querySelector(`[data-testid="${id}"]`);

export function element(tag, className, parent, attributes = {}) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (parent) parent.append(node);
  return node;
}
