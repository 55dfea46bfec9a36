// The book: a snapshot, then deltas that must follow each other; painted into a fixed pool of rows.

import * as D from "./decimal.js";
import { element, repaint, setText } from "./loop.js";

const ROWS = 20;
const SNAPSHOT_LEVELS_MAX = 1_000; // a longer side is cut there; the levels beyond are unknown
const LEVELS_LOW = 100;

class Side {
  constructor(isBid) {
    this.isBid = isBid;
    this.clear();
  }

  clear() {
    this.levels = new Map(); // price string -> { price, quantity }
    this.sorted = [];
    this.isSorted = true;
    this.horizon = null;
  }

  load(levels) {
    this.clear();
    this.apply(levels);
    if (levels.length >= SNAPSHOT_LEVELS_MAX) this.horizon = this.best(levels.length).at(-1).price;
  }

  apply(changes) {
    for (const [text, amount] of changes) {
      const quantity = D.parse(amount);
      const known = this.levels.get(text);
      if (quantity === 0n) {
        if (known) this.isSorted = false;
        this.levels.delete(text);
      } else if (known) {
        known.quantity = quantity;
      } else {
        const price = D.parse(text);
        if (this.horizon !== null && (this.isBid ? price < this.horizon : price > this.horizon)) continue;
        this.levels.set(text, { price, quantity });
        this.isSorted = false;
      }
    }
  }

  best(count) {
    if (!this.isSorted) {
      const sign = this.isBid ? -1 : 1;
      const order = (a, b) => (a.price < b.price ? -sign : a.price > b.price ? sign : 0);
      this.sorted = [...this.levels.values()].sort(order);
      this.isSorted = true;
    }
    return this.sorted.slice(0, count);
  }

  get isLow() {
    return this.horizon !== null && this.levels.size < LEVELS_LOW;
  }
}

export class Book {
  constructor({ root, pricePlaces, quantityPlaces, onGap, onPick, onChange }) {
    Object.assign(this, { pricePlaces, quantityPlaces, onGap, onPick, onChange });
    this.bids = new Side(true);
    this.asks = new Side(false);
    this.sequence = null;
    this.ownPrices = new Set();
    this.askRows = this.pool(root.querySelector("[data-asks]"), "ask");
    this.bidRows = this.pool(root.querySelector("[data-bids]"), "bid");
    this.spread = root.querySelector("[data-spread]");
    this.paint = this.paint.bind(this);
    root.addEventListener("click", (event) => this.pick(event.target));
    root.addEventListener("keydown", (event) => this.key(event));
  }

  pool(parent, kind) {
    return Array.from({ length: ROWS }, (_, index) => {
      const row = element("div", `level ${kind}`, parent, {
        role: "row", "data-testid": `${kind}-${index}`, tabindex: "-1",
      });
      const bar = element("span", "bar", row, { "aria-hidden": "true" });
      const cells = ["price", "quantity", "total"].map((name) =>
        element("span", name, row, { role: "cell" }));
      return { row, bar, cells, level: null };
    });
  }

  take(frame) {
    if (frame.type === "snapshot") {
      this.bids.load(frame.bids);
      this.asks.load(frame.asks);
    } else if (this.sequence === null) {
      return; // after a gap: the snapshot was requested and is on its way
    } else if (frame.previous !== this.sequence) {
      this.sequence = null;
      this.onGap();
      return;
    } else {
      this.bids.apply(frame.bids);
      this.asks.apply(frame.asks);
      if (this.bids.isLow || this.asks.isLow) {
        this.sequence = null;
        this.onGap();
        return;
      }
    }
    this.sequence = frame.sequence;
    this.changed();
  }

  changed() {
    repaint(this.paint);
    this.onChange();
  }

  get bestBid() { return this.bids.best(1)[0] || null; }
  get bestAsk() { return this.asks.best(1)[0] || null; }

  // What a market order would trade now: { quantity, cost, isEnough }. Give a quantity or a cost.
  sweep(isBuy, { quantity = null, cost = null }) {
    const levels = isBuy ? this.asks : this.bids;
    let taken = 0n;
    let spent = 0n;
    for (const level of levels.best(SNAPSHOT_LEVELS_MAX)) {
      const affordable = cost === null ? level.quantity : D.overDown(cost - spent, level.price);
      const wanted = quantity === null ? level.quantity : quantity - taken;
      const part = D.min(level.quantity, D.min(affordable, wanted));
      taken += part;
      spent += D.timesDown(part, level.price);
      if (part < level.quantity) return { quantity: taken, cost: spent, isEnough: true };
    }
    return { quantity: taken, cost: spent, isEnough: quantity !== null && taken >= quantity };
  }

  paint() {
    const asks = this.asks.best(ROWS);
    const bids = this.bids.best(ROWS);
    const depth = (levels) => levels.reduce((sum, level) => sum + level.quantity, 0n);
    const deepest = [depth(asks), depth(bids)].reduce((a, b) => (a > b ? a : b));
    this.paintSide(this.askRows, asks, deepest);
    this.paintSide(this.bidRows, bids, deepest);
    this.paintSpread(asks[0], bids[0]);
  }

  paintSide(rows, levels, deepest) {
    let total = 0n;
    rows.forEach((slot, index) => {
      const level = levels[index] || null;
      slot.level = level;
      slot.row.classList.toggle("empty", level === null);
      if (level === null) {
        slot.cells.forEach((cell) => setText(cell, "\u00a0"));
        slot.bar.style.transform = "scaleX(0)";
        return;
      }
      total += level.quantity;
      setText(slot.cells[0], D.shown(level.price, this.pricePlaces));
      setText(slot.cells[1], D.shown(level.quantity, this.quantityPlaces, this.quantityPlaces));
      setText(slot.cells[2], D.shown(total, this.quantityPlaces, this.quantityPlaces));
      const share = Number((total * 1000n) / deepest) / 1000; // pixels, not money
      slot.bar.style.transform = `scaleX(${share})`;
      slot.row.classList.toggle("own", this.ownPrices.has(level.price));
    });
  }

  paintSpread(ask, bid) {
    if (!ask || !bid) {
      setText(this.spread, "No spread: one side is empty");
      return;
    }
    const width = ask.price - bid.price;
    const share = D.shown((width * 100n * D.ONE) / ask.price, 4, 4);
    setText(this.spread, `Spread ${D.shown(width, this.pricePlaces)} (${share} %)`);
  }

  setOwn(prices) {
    this.ownPrices = prices;
    repaint(this.paint);
  }

  slotOf(node) {
    const row = node.closest?.(".level");
    return [...this.askRows, ...this.bidRows].find((slot) => slot.row === row) || null;
  }

  pick(node) {
    const slot = this.slotOf(node);
    if (slot?.level) this.onPick(slot.level);
  }

  // Arrow keys move along the levels, Enter takes the price into the form.
  key(event) {
    const order = [...[...this.askRows].reverse(), ...this.bidRows];
    const at = order.findIndex((slot) => slot.row === document.activeElement);
    if (event.key === "Enter" && at >= 0) this.pick(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = order[at < 0 ? ROWS : Math.max(0, Math.min(order.length - 1, at + step))];
    next.row.focus();
  }
}
