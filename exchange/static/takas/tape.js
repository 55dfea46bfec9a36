// The latest trades, newest first, in a fixed pool of rows.

import { moment } from "./clock.js";
import * as D from "./decimal.js";
import { element, repaint, setText } from "./loop.js";

const ROWS = 40;

export class Tape {
  constructor({ root, pricePlaces, quantityPlaces, onLast }) {
    Object.assign(this, { pricePlaces, quantityPlaces, onLast });
    this.trades = [];
    this.rows = Array.from({ length: ROWS }, (_, index) => {
      const row = element("div", "print", root, { role: "row", "data-testid": `trade-${index}` });
      return { row, cells: ["price", "quantity", "time"].map((name) =>
        element("span", name, row, { role: "cell" })) };
    });
    this.paint = this.paint.bind(this);
  }

  // Trades from REST and from the feed may overlap after a reconnect: ids are time-ordered.
  add(trades) {
    const known = new Set(this.trades.map((trade) => trade.id));
    const fresh = trades.filter((trade) => !known.has(trade.id));
    if (!fresh.length) return;
    this.trades = [...fresh, ...this.trades]
      .sort((a, b) => (BigInt(a.id) < BigInt(b.id) ? 1 : -1))
      .slice(0, ROWS);
    this.onLast(this.trades[0], this.trades[1] || null);
    repaint(this.paint);
  }

  paint() {
    this.rows.forEach(({ row, cells }, index) => {
      const trade = this.trades[index];
      row.classList.toggle("empty", !trade);
      if (!trade) return;
      const isBuy = trade.taker_side === "buy";
      row.classList.toggle("buy", isBuy);
      row.classList.toggle("sell", !isBuy);
      const arrow = isBuy ? "▲" : "▼"; // not everybody can tell the colours apart
      setText(cells[0], `${D.shown(D.parse(trade.price), this.pricePlaces)} ${arrow}`);
      setText(cells[1], D.shown(D.parse(trade.quantity), this.quantityPlaces));
      setText(cells[2], moment(new Date(trade.time)));
    });
  }
}
