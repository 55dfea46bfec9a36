// The order form: its fields, the estimate of the cost, and sending. Amounts are exact decimals.

import { ApiError } from "./api.js";
import { ask } from "./ask.js";
import * as D from "./decimal.js";
import { FIELDS, Incomplete, KINDS, OPTIONS, orderBody, pairBodies, unclear } from "./kinds.js";
import { byTestId, repaint, setText } from "./loop.js";
import { farLine } from "./market.js";
import { describe } from "./orders.js";
import { toast } from "./toasts.js";

const PPM = 1_000_000n;
const UNKNOWN_OUTCOMES = new Set(["network", "engine.outcome_unknown"]);
const RETRIES = 2;
const RETRY_MS = 700;
// Market states that take no orders, as the form knows them; the exchange itself decides.
const CLOSED_STATES = {
  halt: "Trading is halted", cancel_only: "Only cancels are taken now", closed: "This symbol is closed",
};

const randomId = () =>
  `web-${[...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;

export class OrderForm {
  constructor({ form, rules, book, balances, orders, isLive }) {
    Object.assign(this, { form, rules, book, balances, orders, isLive });
    this.isSending = false;
    this.lastPrice = null;
    this.paint = this.paint.bind(this);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener("input", () => this.changed());
    form.addEventListener("change", (event) => {
      this.changed();
      if (event.target.inputMode === "decimal") this.fail(unclear(form, event.target.name));
    });
    form.querySelectorAll("[data-percent]").forEach((button) =>
      button.addEventListener("click", () => this.percent(BigInt(button.dataset.percent))));
    this.changed();
  }

  field(name) { return this.form.elements[name]; }
  value(name) { return D.parseTyped(this.field(name).value); }
  get isBuy() { return this.field("side").value === "buy"; }
  get kind() {
    const chosen = this.field("type").value;
    return chosen === "stop" ? this.field("stop_type").value : chosen;
  }
  get isMarket() { return this.kind === "market"; }
  get byAmount() { return this.isMarket && this.isBuy && this.field("by").value === "quote_amount"; }

  changed() {
    const { needs, may, options } = KINDS[this.kind];
    const tif = this.field("time_in_force").value;
    const show = (name, isShown) => this.form.querySelector(`[data-for="${name}"]`).toggleAttribute("hidden", !isShown);
    FIELDS.forEach((name) => show(name, needs.includes(name) || may.includes(name)));
    OPTIONS.forEach((name) => show(name, options.includes(name)));
    show("stop_type", this.field("type").value === "stop");
    show("by", this.isMarket && this.isBuy);
    show("quote_amount", this.byAmount);
    if (this.byAmount) show("quantity", false);
    show("expires_at", options.includes("time_in_force") && tif === "gtd");
    const mayRest = tif === "gtc" || tif === "gtd";
    this.toggle("post_only", mayRest);
    this.toggle("reprice", mayRest && this.field("post_only").checked);
    if (!mayRest && options.includes("time_in_force")) {
      show("display_quantity", false);
      this.field("display_quantity").value = "";
    }
    this.form.dataset.side = this.isBuy ? "buy" : "sell";
    setText(byTestId("form-error"), "");
    repaint(this.paint);
  }

  toggle(name, isEnabled) {
    this.field(name).disabled = !isEnabled;
    if (!isEnabled) this.field(name).checked = false;
  }

  pick(level) {
    if (!KINDS[this.kind].needs.includes("price")) this.field("type").value = "limit";
    this.field("price").value = D.typed(level.price);
    this.changed();
  }

  // --- estimates ---

  fee(notional) { return (notional * this.rules.takerPpm + PPM - 1n) / PPM; }
  withoutFee(amount) { return (amount * PPM) / (PPM + this.rules.takerPpm); }

  // Returns { notional, fee, note } of the typed order, or null while it is incomplete.
  estimate() {
    if (!this.isMarket) return this.estimateAtPrice();
    const wish = this.byAmount ? { cost: this.value("quote_amount") } : { quantity: this.value("quantity") };
    if (!Object.values(wish)[0]) return null;
    const met = this.book.sweep(this.isBuy, wish);
    const average = met.quantity ? D.overDown(met.cost, met.quantity) : 0n;
    const note = met.isEnough
      ? `about ${D.shown(met.quantity, 0, this.rules.quantityPlaces)} ${this.rules.base} at ${D.shown(average, this.rules.pricePlaces, this.rules.pricePlaces)}`
      : "the visible book does not hold this much";
    return { notional: met.cost, fee: this.fee(met.cost), note };
  }

  estimateAtPrice() {
    const price = this.worstPrice();
    const quantity = this.value("quantity");
    if (!price || !quantity) return null;
    const notional = D.timesDown(price, quantity);
    const isBounded = KINDS[this.kind].needs.includes("price");
    const note = this.kind === "oco" ? "Reserved once: when one of the two trades, the other is cancelled"
      : isBounded ? "" : `Trades as a market order once triggered${this.isBuy ? "" : ": it may bring in less, down to the slippage bound"}`;
    return { notional, fee: this.fee(notional), note };
  }

  // The price that a buy reserves at: its limit, else its slippage bound. For a sell, its trigger or limit.
  worstPrice() {
    const { slippagePpm } = this.rules;
    const slipped = (price) => (price && this.isBuy ? (price * (PPM + slippagePpm)) / PPM : price);
    if (this.kind === "trailing_stop") return slipped(this.trailStart());
    const stop = () => slipped(this.value("stop_price"));
    if (this.kind === "oco") {
      const [limit, other] = [this.value("price"), this.value("stop_limit_price") || stop()];
      return limit && other && (limit > other ? limit : other);
    }
    return KINDS[this.kind].needs.includes("price") ? this.value("price") : stop();
  }

  // The first trigger of a trailing stop, at its activation price or now; null where it is unknown.
  trailStart() {
    const from = this.value("activation_price") || this.lastPrice;
    const typed = this.value("trail");
    if (!from || !typed) return null;
    const distance = this.field("trail_unit").value === "amount" ? typed : D.timesDown(from, typed) / 100n;
    if (this.isBuy) return from + distance;
    return from > distance ? from - distance : null;
  }

  percent(share) {
    const of = (amount) => (amount * share) / 100n;
    const missing = this.isBuy
      ? this.percentOfQuote(this.withoutFee(of(this.balances.available(this.rules.quote))))
      : this.percentOfBase(of(this.balances.available(this.rules.base)));
    this.changed();
    if (missing) this.fail(missing);
  }

  percentOfBase(amount) {
    this.field("quantity").value = D.typed(D.floorTo(amount, this.rules.lot));
    return "";
  }

  // Returns what is missing to know the quantity, or nothing.
  percentOfQuote(amount) {
    if (this.isMarket) {
      this.field("by").value = "quote_amount";
      this.field("quote_amount").value = D.typed(D.floorTo(amount, this.rules.quoteUnit));
      return "";
    }
    if (this.kind === "limit" && !this.value("price") && this.book.bestAsk) {
      this.field("price").value = D.typed(this.book.bestAsk.price);
    }
    const price = this.worstPrice();
    if (!price) return this.kind === "trailing_stop" ? "Give a distance and an activation price first" : "Give a price first";
    this.field("quantity").value = D.typed(D.floorTo(D.overDown(amount, price), this.rules.lot));
    return "";
  }

  paint() {
    const { base, quote, quoteShown } = this.rules;
    const spends = this.isBuy ? quote : base;
    const places = this.isBuy ? quoteShown : this.rules.quantityPlaces;
    setText(byTestId("form-available"), `${D.shown(this.balances.available(spends), 0, places)} ${spends}`);
    const estimate = this.estimate();
    const money = (amount) => (estimate ? `${D.shown(amount(estimate), 2, quoteShown)} ${quote}` : "—");
    setText(byTestId("estimate-notional"), money((it) => it.notional));
    setText(byTestId("estimate-fee"), money((it) => it.fee));
    setText(byTestId("estimate-total"), money((it) => (this.isBuy ? it.notional + it.fee : it.notional - it.fee)));
    setText(byTestId("estimate-note"), estimate?.note || "");
    setText(byTestId("estimate-label"), this.isBuy ? "You pay at most" : "You receive about");
    this.paintSubmit();
  }

  paintSubmit() {
    const button = byTestId("submit");
    const stale = this.isMarket && !this.isLive();
    const closed = this.rules.isListed ? CLOSED_STATES[this.rules.state] : "Not listed: no new orders";
    button.disabled = this.isSending || stale || Boolean(closed);
    const reason = closed || (stale ? "No market orders while prices are stale"
        : this.isSending ? "Sending…" : `${this.isBuy ? "Buy" : "Sell"} ${this.rules.base}`);
    setText(button, reason);
  }

  // --- sending ---

  fail(message) {
    setText(byTestId("form-error"), message);
  }

  // Returns { path, body } of the typed order, or null after telling the person what is missing.
  request() {
    const side = this.isBuy ? "buy" : "sell";
    const complete = (order) => ({ client_order_id: randomId(), side, ...order });
    const { symbol } = this.rules;
    try {
      if (this.kind === "oco") {
        return { path: "/order-lists", body: { type: "oco", symbol, orders: pairBodies(this.form).map(complete) } };
      }
      return { path: "/orders", body: { symbol, ...complete(orderBody(this.form, this.kind, this.byAmount)) } };
    } catch (error) {
      if (!(error instanceof Incomplete)) throw error;
      this.fail(error.message);
      this.field(error.field).focus();
      return null;
    }
  }

  // The best price of the other side, else the last price.
  marketPrice(isBuy) {
    return (isBuy ? this.book.bestAsk : this.book.bestBid)?.price ?? this.lastPrice;
  }

  // Lines to confirm before sending: limits far through the market, or through their own trigger.
  warnings() {
    const { isBuy } = this;
    const market = { isBuy, reference: this.marketPrice(isBuy), what: "the market at" };
    const trigger = { isBuy, reference: this.value("stop_price"), what: "its trigger" };
    const needs = (name) => KINDS[this.kind].needs.includes(name);
    const limits = [];
    if (this.kind === "oco") {
      limits.push({ ...market, limit: this.value("price") }, { ...trigger, limit: this.value("stop_limit_price") });
    } else if (needs("price")) {
      limits.push({ ...(needs("stop_price") ? trigger : market), limit: this.value("price") });
    }
    return limits.map(farLine).filter(Boolean);
  }

  async confirmed() {
    const lines = this.warnings();
    const verb = this.isBuy ? "Buy" : "Sell";
    return !lines.length || ask({ title: "Is this the price you mean?", lines, yes: `${verb} with this limit` });
  }

  async submit() {
    const request = this.isSending ? null : this.request();
    if (!request || !(await this.confirmed())) return;
    const ids = (request.body.orders ?? [request.body]).map((order) => order.client_order_id);
    this.orders.hold(ids);
    const sizes = ["quantity", "quote_amount"].map((name) => [name, this.field(name).value]);
    this.isSending = true;
    this.paintSubmit();
    try {
      for (const order of await this.send(request)) {
        if (order.status !== "rejected") toast("ok", `Accepted: ${describe(order)}`);
      }
      // Keep a size that the person typed for the next order meanwhile.
      sizes.filter(([name, sent]) => this.field(name).value === sent).forEach(([name]) => { this.field(name).value = ""; });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.fail(error.message);
      toast("error", "Order refused", error.message);
    } finally {
      this.orders.release(ids);
      this.isSending = false;
      repaint(this.paint);
    }
  }

  // A repeated client_order_id is the same order: sending again after silence cannot place it twice.
  async send({ path, body }) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.orders.place(path, body);
      } catch (error) {
        if (!UNKNOWN_OUTCOMES.has(error.code) || attempt >= RETRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (attempt + 1)));
      }
    }
  }
}
