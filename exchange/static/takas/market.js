// Limits that are far through the market: they trade at once, perhaps at unintended prices.

import * as D from "./decimal.js";

export const FAR_PERCENT = 5n;

// How far a limit is on the wrong side of a price, in percent; null below FAR_PERCENT.
export function percentThrough(isBuy, limit, reference) {
  if (!limit || !reference) return null;
  const beyond = isBuy ? limit - reference : reference - limit;
  if (beyond * 100n < reference * FAR_PERCENT) return null;
  return D.shown((beyond * 100n * D.ONE) / reference, 0, 1);
}

// The line of the question about a far limit, or null.
export function farLine({ isBuy, limit, reference, what }) {
  const percent = percentThrough(isBuy, limit, reference);
  if (percent === null) return null;
  const side = isBuy ? "above" : "below";
  return `The limit ${D.text(limit)} is ${percent} % ${side} ${what} ${D.text(reference)}: it may trade at any price up to the limit.`;
}
