// The account's orders: open ones with cancel and amend, recent ones with their end.

import { ApiError, get, patch, post, remove } from "./api.js";
import { ask } from "./ask.js";
import { fullMoment, moment } from "./clock.js";
import * as D from "./decimal.js";
import { element, repaint, setText } from "./loop.js";
import { farLine } from "./market.js";
import { toast } from "./toasts.js";

const LIVE = new Set(["new", "waiting", "open", "partially_filled"]);
const RECENT_MAX = 30;
const LIST_MAX = 200;
const WORDS = { partially_filled: "partly filled" };
// A fraction has six places, so as a percentage four: "-0.0005" is "-0.05 %".
const percent = (fraction) => `${Number((Number(fraction) * 100).toFixed(4))} %`;
const COLUMNS = ["time", "side", "price", "quantity", "filled", "status", "actions"];

const KIND_WORDS = {
  stop_market: "stop", stop_limit: "stop limit", take_profit: "take profit", take_profit_limit: "take profit limit",
  trailing_stop: "trailing stop",
};

// The trigger of an order in words; an empty text for an order without one.
const trigger = (order) => {
  if (order.stop_price) return `${KIND_WORDS[order.type]} ${order.stop_price}`;
  if (order.type !== "trailing_stop") return "";
  const distance = order.trail_amount ?? `${order.trail_bps / 100} %`;
  return `trailing by ${distance}${order.activation_price ? ` from ${order.activation_price}` : ""}`;
};

// The trigger in a row of the list, which names the order's kind; prices are formatted as in the book.
const triggerCell = (order, shown) => {
  if (order.stop_price) return `trigger ${shown(order.stop_price)}`;
  if (order.type !== "trailing_stop") return "";
  const distance = order.trail_amount === null ? `${order.trail_bps / 100} %` : shown(order.trail_amount);
  if (order.trail_stop_price) return `trigger ${shown(order.trail_stop_price)}, ${distance} behind`;
  return `${distance} behind${order.activation_price ? ` from ${shown(order.activation_price)}` : ""}`;
};

export const describe = (order) => {
  const size = order.quantity ?? order.quote_amount;
  const unit = order.symbol.split("-")[order.quantity === null ? 1 : 0];
  const price = order.price === null ? "at market" : `at ${order.price}`;
  const when = trigger(order);
  return `${order.side === "buy" ? "Buy" : "Sell"} ${size} ${unit} ${price}${when ? `, ${when}` : ""}`;
};

export class Orders {
  constructor({ symbol, openRoot, recentRoot, places, reasons, onOpen, onReserve, marketPrice }) {
    Object.assign(this, { symbol, openRoot, recentRoot, places, reasons, onOpen, onReserve, marketPrice });
    this.held = new Map(); // client_order_id of an order being placed -> its delayed notices
    this.byId = new Map();
    this.rows = new Map();
    this.paint = this.paint.bind(this);
  }

  async refetch() {
    const query = `symbol=${this.symbol}`;
    const [open, recent] = await Promise.all([
      get(`/orders?${query}&status=live&limit=${LIST_MAX}`), get(`/orders?${query}&limit=${RECENT_MAX}`),
    ]);
    const seen = [...open.items, ...recent.items];
    const ids = new Set(seen.map((order) => order.id));
    // An order that is live here, but no longer in the exchange's list of live orders, has ended.
    for (const order of [...this.byId.values()]) {
      if (LIVE.has(order.status) && !ids.has(order.id)) seen.push(await get(`/orders/${order.id}`));
    }
    seen.forEach((order) => this.put(order));
  }

  // A frame and an answer may cross: the later state stays. `new` is earlier than every state that
  // the engine told, even where the clocks of two processes disagree.
  put(order) {
    if (order.symbol !== this.symbol) return false;
    const known = this.byId.get(order.id);
    if (known && !LIVE.has(known.status)) return false;
    if (known && known.status !== "new" && (order.status === "new" || known.updated_at > order.updated_at)) return false;
    this.byId.set(order.id, order);
    repaint(this.paint);
    if (!known || known.quantity !== order.quantity || known.price !== order.price) this.onReserve();
    return true;
  }

  takeFrame({ order, fills }) {
    const known = this.byId.get(order.id);
    if (!this.put(order) && order.symbol === this.symbol) return;
    const notice = () => this.tell(order, fills, known);
    const held = this.held.get(order.client_order_id);
    if (held) held.push(notice);
    else notice();
  }

  // A frame may overtake the answer: delay the order's notices until after "Accepted".
  hold(ids) {
    ids.forEach((id) => this.held.set(id, []));
  }

  release(ids) {
    const notices = ids.flatMap((id) => this.held.get(id));
    ids.forEach((id) => this.held.delete(id));
    notices.forEach((notice) => notice());
  }

  tell(order, fills, known) {
    if (order.status === "rejected") {
      toast("error", `Refused: ${describe(order)}`, this.reason(order));
    } else if (fills.length) {
      const what = order.status === "filled" ? "Filled" : "Partly filled";
      toast("ok", `${what}: ${describe(order)}`, fills.map((fill) =>
        `${fill.quantity} at ${fill.price} (${fill.role})`).slice(0, 3).join(", "));
    } else if (order.status === "cancelled" && known?.status !== "cancelled") {
      toast("info", `Cancelled: ${describe(order)}`, this.reason(order));
    }
  }

  // Tells the outcome of an amend or a cancel. The order's own frame tells a cancel that was done; a
  // cancel that came too late is no alarm, because the order's end was told already.
  takeCommand({ kind, order_id: id, state, code, symbol }) {
    const order = this.byId.get(id);
    if (symbol !== this.symbol || !order || (kind !== "amend" && kind !== "cancel")) return;
    const what = kind === "amend" ? "Amend" : "Cancel";
    if (state === "refused") toast("error", `${what} refused: ${describe(order)}`, this.text(code));
    else if (kind === "amend") toast("ok", `Amended: ${describe(order)}`);
  }

  reason(order) {
    return this.text(order.reason);
  }

  text(code) {
    return code ? this.reasons[code] || code : "";
  }

  list() {
    const all = [...this.byId.values()].sort((a, b) => (BigInt(a.id) < BigInt(b.id) ? 1 : -1));
    const ended = all.filter((order) => !LIVE.has(order.status));
    ended.slice(RECENT_MAX).forEach((order) => this.byId.delete(order.id));
    return { open: all.filter((order) => LIVE.has(order.status)), recent: ended.slice(0, RECENT_MAX) };
  }

  paint() {
    const { open, recent } = this.list();
    this.paintList(this.openRoot, open);
    this.paintList(this.recentRoot, recent);
    const shown = new Set([...open, ...recent].map((order) => order.id));
    for (const [id, row] of this.rows) {
      if (shown.has(id)) continue;
      row.node.remove();
      this.rows.delete(id);
    }
    this.onOpen(open);
  }

  paintList(root, orders) {
    orders.forEach((order, index) => {
      const row = this.rows.get(order.id) || this.row(order.id);
      if (root.children[index] !== row.node) root.insertBefore(row.node, root.children[index] || null);
      if (!row.editing) this.paintRow(row, order);
    });
    root.closest("table").classList.toggle("empty", orders.length === 0);
  }

  row(id) {
    const node = element("tr", "", null, { "data-testid": `order-${id}` });
    const cells = Object.fromEntries(COLUMNS.map((name) => [
      name, element("td", name, node, { "data-label": name === "actions" ? "" : name }),
    ]));
    const row = { node, cells, editing: false, actionsFor: null };
    this.rows.set(id, row);
    return row;
  }

  paintRow(row, order) {
    const { price, quantity } = this.places;
    const number = (text, places) => (text === null ? "—" : D.shown(D.parse(text), places));
    const extra = [
      order.post_only ? "post-only" : "", order.display_quantity ? "iceberg" : "", order.list_id ? "linked" : "",
      order.time_in_force === "gtc" ? "" : order.time_in_force,
    ].filter(Boolean).join(" ");
    const kind = KIND_WORDS[order.type] || order.type;
    row.node.className = order.side;
    const at = new Date(order.created_at);
    setText(row.cells.time, moment(at));
    row.cells.time.title = fullMoment(at);
    setText(row.cells.side, `${order.side === "buy" ? "Buy" : "Sell"} ${kind} ${extra}`.trim());
    const waits = order.status === "waiting" || order.status === "new"
      ? triggerCell(order, (text) => number(text, price)) : "";
    const prices = [waits, order.price === null && waits && order.filled === "0" ? ""
      : number(order.price ?? order.average_price, price)].filter(Boolean).join(" → ");
    setText(row.cells.price, prices.replaceAll("\u2009", "\u202f")); // lines break between prices, not within one
    row.cells.price.title = waits && order.trail_bound_price ? `Bound ${order.trail_bound_price}` : "";
    if (order.slippage !== null && order.slippage !== undefined) {
      row.cells.price.title = `Average ${order.average_price}, slippage ${percent(order.slippage)}`;
    }
    setText(row.cells.quantity, order.quantity === null
      ? `for ${number(order.quote_amount, 2)}` : number(order.quantity, quantity));
    setText(row.cells.filled, number(order.filled, quantity));
    setText(row.cells.status, WORDS[order.status] || order.status);
    row.cells.status.title = this.reason(order);
    if (!LIVE.has(order.status) && order.reason) {
      setText(row.cells.status, `${WORDS[order.status] || order.status} · ${this.reason(order)}`);
    }
    this.paintActions(row, order);
  }

  paintActions(row, order) {
    const wanted = LIVE.has(order.status) ? "live" : "ended";
    if (row.actionsFor === wanted) return;
    row.actionsFor = wanted;
    row.cells.actions.replaceChildren();
    if (wanted === "ended") return;
    const label = describe(order);
    if (order.price !== null) this.button(row, "Amend", label, () => this.edit(row, order.id));
    this.button(row, "Cancel", label, () => this.cancel(order.id));
  }

  button(row, name, about, act) {
    const button = element("button", "small", row.cells.actions, {
      type: "button", "aria-label": `${name} ${about}`, "data-testid": `order-${name.toLowerCase()}`,
    });
    button.textContent = name;
    button.addEventListener("click", act);
    return button;
  }

  edit(row, id) {
    const order = this.byId.get(id);
    row.editing = true;
    const input = (cell, name, value) => {
      cell.replaceChildren();
      return Object.assign(element("input", "inline", cell, {
        inputmode: "decimal", "aria-label": `New ${name}`, "data-testid": `amend-${name}`, autocomplete: "off",
      }), { value });
    };
    const price = input(row.cells.price, "price", D.typed(D.parse(order.price)));
    const quantity = input(row.cells.quantity, "quantity", D.typed(D.parse(order.quantity)));
    row.cells.actions.replaceChildren();
    const end = () => {
      row.editing = false;
      row.actionsFor = null;
      this.paintRow(row, this.byId.get(id));
    };
    const save = async () => {
      if (await this.amend(order, price.value, quantity.value)) end();
    };
    this.button(row, "Save", describe(order), save);
    this.button(row, "Back", describe(order), end);
    row.node.onkeydown = (event) => {
      if (!row.editing) return;
      if (event.key === "Escape") end();
      if (event.key === "Enter" && event.target.tagName === "INPUT") save();
    };
    price.focus();
  }

  async amend(order, priceTyped, quantityTyped) {
    const changes = {};
    for (const [name, typed] of [["price", priceTyped], ["quantity", quantityTyped]]) {
      const { value, fault } = D.readTyped(typed);
      if (!value) {
        toast("error", `The new ${name} is ${fault ? "not clear" : "missing or zero"}`, fault);
        return false;
      }
      if (value !== D.parse(order[name])) changes[name] = D.text(value);
    }
    if (!Object.keys(changes).length) return true;
    if (changes.price && !(await this.priceMeant(order, D.parse(changes.price)))) return false;
    return this.attempt(`Amend refused: ${describe(order)}`, async () => {
      this.answered(await patch(`/orders/${order.id}`, changes));
      toast("info", `Amend sent: ${describe(order)}`);
    });
  }

  // Asks for confirmation where a new limit is far through the market, or through the order's trigger.
  async priceMeant(order, limit) {
    const isBuy = order.side === "buy";
    const waits = order.status === "waiting" && order.stop_price;
    const line = farLine({
      isBuy, limit,
      reference: waits ? D.parse(order.stop_price) : this.marketPrice(isBuy),
      what: waits ? "its trigger" : "the market at",
    });
    return !line || ask({ title: "Is this the price you mean?", lines: [line], yes: "Amend to this price" });
  }

  cancel(id) {
    const order = this.byId.get(id);
    return this.attempt(`Cancel refused: ${describe(order)}`, async () => {
      this.answered(await remove(`/orders/${id}`));
    });
  }

  cancelAll() {
    return this.attempt("Cancel all refused", async () => {
      if (!(await this.cancelMeant())) return;
      await remove(`/orders?symbol=${this.symbol}`);
      toast("info", `Cancelling all orders in ${this.symbol}`);
    });
  }

  // Asks for confirmation with the exchange's own counts: this page may not know every order.
  async cancelMeant() {
    const count = async (query) => {
      const { items, next } = await get(`/orders?${query}status=live&limit=${LIST_MAX}`);
      return { items, words: (some) => `${next ? "at least " : ""}${some} ${some === 1 && !next ? "order" : "orders"}` };
    };
    const [here, all] = await Promise.all([count(`symbol=${this.symbol}&`), count("")]);
    const others = new Map();
    for (const { symbol } of all.items) {
      if (symbol !== this.symbol) others.set(symbol, (others.get(symbol) ?? 0) + 1);
    }
    const kept = [...others].map(([symbol, some]) => `${all.words(some)} in ${symbol}`).join(", ");
    return ask({
      title: `Cancel ${here.words(here.items.length)} in ${this.symbol}?`,
      lines: [kept ? `Orders in other symbols stay: ${kept}.` : "You have no orders in other symbols."],
      yes: "Cancel them all",
    });
  }

  answered(order) {
    if (order?.id && order.status) this.put(order);
  }

  async attempt(failed, act) {
    try {
      await act();
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      toast("error", failed, error.message);
      return false;
    }
  }

  // Places an order, or a list of them; returns the placed orders.
  async place(path, body) {
    const answer = await post(path, body);
    const placed = answer.orders ?? [answer];
    placed.forEach((order) => this.put(order));
    return placed;
  }
}
