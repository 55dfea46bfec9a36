// The market state in words; an empty text while the market is open.

import { moment } from "./clock.js";
import * as D from "./decimal.js";

const WORDS = {
  open: "", halt: "Halted", pre_open: "Not open yet: orders gather", auction: "Auction",
  auction_cutoff: "Auction: no more cancels", post_only: "Only post-only orders", cancel_only: "Only cancels",
  closed: "Closed",
};
const PHASES = { none: "", limit: "At the price band", pause: "Paused after a sharp move", auction: "Auction after a pause" };

export function stateText(frame, rules) {
  const parts = [PHASES[frame.phase] || WORDS[frame.state] || ""];
  if (frame.indicative_price) {
    const price = D.shown(D.parse(frame.indicative_price), rules.pricePlaces);
    parts.push(`would trade ${frame.indicative_quantity} at ${price}`);
  }
  if (frame.due_at) parts.push(`until ${moment(new Date(frame.due_at))}`);
  return parts.filter(Boolean).join(" · ");
}
