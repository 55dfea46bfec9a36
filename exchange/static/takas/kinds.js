// The kinds of orders that the form offers: which fields each has, and the request it becomes.

import * as D from "./decimal.js";

const LIMIT_OPTIONS = ["time_in_force", "post_only"];

// `needs` are required fields, `may` optional ones; `options` are the choices below the fields.
export const KINDS = {
  limit: { needs: ["price", "quantity"], may: ["display_quantity"], options: LIMIT_OPTIONS },
  market: { needs: ["quantity"], may: [], options: [] },
  stop_market: { needs: ["stop_price", "quantity"], may: [], options: ["trigger_source"] },
  stop_limit: {
    needs: ["stop_price", "price", "quantity"], may: ["display_quantity"], options: ["trigger_source", ...LIMIT_OPTIONS],
  },
  take_profit: { needs: ["stop_price", "quantity"], may: [], options: ["trigger_source"] },
  take_profit_limit: {
    needs: ["stop_price", "price", "quantity"], may: ["display_quantity"], options: ["trigger_source", ...LIMIT_OPTIONS],
  },
  trailing_stop: { needs: ["trail", "quantity"], may: ["activation_price"], options: ["trigger_source"] },
  oco: { needs: ["price", "stop_price", "quantity"], may: ["stop_limit_price"], options: [] },
};
export const FIELDS = ["price", "stop_price", "stop_limit_price", "trail", "activation_price", "quantity", "display_quantity"];
export const OPTIONS = ["time_in_force", "post_only", "trigger_source"];

const NAMES = {
  price: "price", quantity: "quantity", quote_amount: "amount", stop_price: "trigger price", trail: "distance",
  stop_limit_price: "stop's limit", activation_price: "activation price", display_quantity: "displayed quantity",
};
const HUNDRED = 100n * D.ONE;

export class Incomplete extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

function decimal(form, name, isNeeded) {
  const typed = form.elements[name].value.trim();
  if (!typed && !isNeeded) return null;
  const { value, fault } = D.readTyped(typed);
  if (fault) throw new Incomplete(name, `The ${NAMES[name]} is not clear: ${fault}.`);
  if (!value) throw new Incomplete(name, `The ${NAMES[name]} is missing or zero.`);
  return D.text(value);
}

// A distance in quote currency, or in percent of the price; a basis point is a hundredth of a percent.
function trail(form) {
  const typed = decimal(form, "trail", true);
  if (form.elements.trail_unit.value === "amount") return { trail_amount: typed };
  const points = D.parse(typed) * 100n;
  if (points % D.ONE || points >= HUNDRED * 100n) {
    throw new Incomplete("trail", "The distance is 0.01 to 99.99 percent, in steps of 0.01.");
  }
  return { trail_bps: Number(points / D.ONE) };
}

function expiry(form) {
  const at = new Date(form.elements.expires_at.value);
  if (Number.isNaN(at.getTime()) || at <= new Date()) {
    throw new Incomplete("expires_at", "Give a time in the future at which the order ends.");
  }
  return at.toISOString();
}

function lifetime(form) {
  const word = form.elements.time_in_force.value;
  return word === "gtd" ? { time_in_force: word, expires_at: expiry(form) } : { time_in_force: word };
}

function options(form, kind) {
  const chosen = {};
  if (kind.options.includes("time_in_force")) Object.assign(chosen, lifetime(form));
  if (kind.options.includes("post_only") && form.elements.post_only.checked) {
    chosen.post_only = true;
    if (form.elements.reprice.checked) chosen.reprice = true;
  }
  if (kind.options.includes("trigger_source")) chosen.trigger_source = form.elements.trigger_source.value;
  return chosen;
}

// The fault of a number field as a sentence; nothing where the field is clear.
export function unclear(form, name) {
  const { fault } = D.readTyped(form.elements[name].value);
  return fault && `The ${NAMES[name]} is not clear: ${fault}.`;
}

// The body of POST /orders without symbol, side and client id. Throws Incomplete.
export function orderBody(form, name, byAmount) {
  if (name === "market" && byAmount) return { type: name, quote_amount: decimal(form, "quote_amount", true) };
  const kind = KINDS[name];
  const body = { type: name };
  for (const field of kind.needs) {
    if (field === "trail") Object.assign(body, trail(form));
    else body[field] = decimal(form, field, true);
  }
  for (const field of kind.may) {
    const value = decimal(form, field, false);
    if (value !== null) body[field] = value;
  }
  return Object.assign(body, options(form, kind));
}

// The two orders of an OCO: a limit order, and a stop that ends when the other one trades.
export function pairBodies(form) {
  const quantity = decimal(form, "quantity", true);
  const stop = { type: "stop_market", stop_price: decimal(form, "stop_price", true), quantity };
  const limit = decimal(form, "stop_limit_price", false);
  if (limit !== null) Object.assign(stop, { type: "stop_limit", price: limit });
  return [{ type: "limit", price: decimal(form, "price", true), quantity }, stop];
}
