// The order form: what is typed, what it would cost, and sending it. Amounts are exact decimals.

import { ApiError } from "./api.js";
import * as D from "./decimal.js";
import { byTestId, repaint, setText } from "./loop.js";
import { describe } from "./orders.js";
import { toast } from "./toasts.js";

const PPM = 1_000_000n;
const UNKNOWN_OUTCOMES = new Set(["network", "engine.outcome_unknown"]);
const RETRIES = 2;
const RETRY_MS = 700;

const randomId = () =>
  `web-${[...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;

export class OrderForm {
  constructor({ form, rules, book, balances, orders, isLive }) {
    Object.assign(this, { form, rules, book, balances, orders, isLive });
    this.isSending = false;
    this.paint = this.paint.bind(this);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener("input", () => this.changed());
    form.addEventListener("change", () => this.changed());
    form.querySelectorAll("[data-percent]").forEach((button) =>
      button.addEventListener("click", () => this.percent(BigInt(button.dataset.percent))));
    this.changed();
  }

  field(name) { return this.form.elements[name]; }
  value(name) { return D.parseTyped(this.field(name).value); }
  get isBuy() { return this.field("side").value === "buy"; }
  get isLimit() { return this.field("type").value === "limit"; }
  get byAmount() { return !this.isLimit && this.isBuy && this.field("by").value === "quote_amount"; }

  changed() {
    const tif = this.field("time_in_force").value;
    const show = (name, isShown) => this.form.querySelector(`[data-for="${name}"]`).toggleAttribute("hidden", !isShown);
    show("price", this.isLimit);
    show("time_in_force", this.isLimit);
    show("by", !this.isLimit && this.isBuy);
    show("quantity", !this.byAmount);
    show("quote_amount", this.byAmount);
    this.field("post_only").disabled = tif !== "gtc";
    if (tif !== "gtc") this.field("post_only").checked = false;
    this.form.dataset.side = this.isBuy ? "buy" : "sell";
    setText(byTestId("form-error"), "");
    repaint(this.paint);
  }

  pick(level) {
    if (!this.isLimit) this.field("type").value = "limit";
    this.field("price").value = D.text(level.price);
    this.changed();
  }

  // --- estimates ---

  fee(notional) { return (notional * this.rules.takerPpm + PPM - 1n) / PPM; }
  withoutFee(amount) { return (amount * PPM) / (PPM + this.rules.takerPpm); }

  // { notional, fee, note } of what is typed, or null while it is not complete.
  estimate() {
    if (this.isLimit) {
      const price = this.value("price");
      const quantity = this.value("quantity");
      if (!price || !quantity) return null;
      const notional = D.timesDown(price, quantity);
      return { notional, fee: this.fee(notional), note: "" };
    }
    const wish = this.byAmount ? { cost: this.value("quote_amount") } : { quantity: this.value("quantity") };
    if (!Object.values(wish)[0]) return null;
    const met = this.book.sweep(this.isBuy, wish);
    const average = met.quantity ? D.overDown(met.cost, met.quantity) : 0n;
    const note = met.isEnough
      ? `about ${D.shown(met.quantity, 0, this.rules.quantityPlaces)} ${this.rules.base} at ${D.shown(average, this.rules.pricePlaces, this.rules.pricePlaces)}`
      : "the visible book does not hold this much";
    return { notional: met.cost, fee: this.fee(met.cost), note };
  }

  percent(share) {
    const of = (amount) => (amount * share) / 100n;
    if (!this.isBuy) {
      const quantity = D.floorTo(of(this.balances.available(this.rules.base)), this.rules.lot);
      this.field("quantity").value = D.text(quantity);
    } else {
      this.percentOfQuote(this.withoutFee(of(this.balances.available(this.rules.quote))));
    }
    this.changed();
  }

  percentOfQuote(amount) {
    if (!this.isLimit) {
      this.field("by").value = "quote_amount";
      this.field("quote_amount").value = D.text(D.floorTo(amount, this.rules.quoteUnit));
      return;
    }
    const price = this.value("price") || this.book.bestAsk?.price;
    if (!price) return this.fail("Give a price first");
    this.field("price").value = D.text(price);
    this.field("quantity").value = D.text(D.floorTo(D.overDown(amount, price), this.rules.lot));
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
    const stale = !this.isLimit && !this.isLive();
    button.disabled = this.isSending || stale || this.rules.isHalted;
    const reason = this.rules.isHalted ? "Trading is halted"
      : stale ? "No market orders while prices are stale"
        : this.isSending ? "Sending…" : `${this.isBuy ? "Buy" : "Sell"} ${this.rules.base}`;
    setText(button, reason);
  }

  // --- sending ---

  fail(message) {
    setText(byTestId("form-error"), message);
  }

  body() {
    const body = {
      client_order_id: randomId(),
      symbol: this.rules.symbol,
      side: this.isBuy ? "buy" : "sell",
      type: this.isLimit ? "limit" : "market",
    };
    const amounts = this.isLimit ? ["price", "quantity"] : [this.byAmount ? "quote_amount" : "quantity"];
    for (const name of amounts) {
      const value = this.value(name);
      if (!value) {
        this.fail(`The ${name.replace("_", " ")} is missing or not a number.`);
        this.field(name).focus();
        return null;
      }
      body[name] = D.text(value);
    }
    if (this.isLimit) {
      body.time_in_force = this.field("time_in_force").value;
      if (this.field("post_only").checked) body.post_only = true;
    }
    return body;
  }

  async submit() {
    const body = this.isSending ? null : this.body();
    if (!body) return;
    this.isSending = true;
    this.paintSubmit();
    try {
      const order = await this.send(body);
      if (order.status !== "rejected") toast("ok", `Accepted: ${describe(order)}`);
      this.field("quantity").value = "";
      this.field("quote_amount").value = "";
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.fail(error.message);
      toast("error", "Order refused", error.message);
    } finally {
      this.isSending = false;
      repaint(this.paint);
    }
  }

  // The same client_order_id is the same order: asking again after silence cannot place it twice.
  async send(body) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.orders.place(body);
      } catch (error) {
        if (!UNKNOWN_OUTCOMES.has(error.code) || attempt >= RETRIES) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS * (attempt + 1)));
      }
    }
  }
}
