// The account's balances: REST gives all of them, frames change single ones; the later sequence wins.

import * as D from "./decimal.js";
import { element, repaint, setText } from "./loop.js";

export class Balances {
  constructor({ root, placesOf, first, onChange }) {
    Object.assign(this, { root, placesOf, first, onChange });
    this.byAsset = new Map();
    this.rows = new Map();
    this.paint = this.paint.bind(this);
    for (const asset of first) this.byAsset.set(asset, { available: 0n, reserved: 0n, sequence: 0n });
  }

  take(balances) {
    for (const { asset, available, reserved, sequence } of balances) {
      const at = BigInt(sequence ?? 0);
      const known = this.byAsset.get(asset);
      if (known && at < known.sequence) continue;
      this.byAsset.set(asset, {
        available: D.parse(available), reserved: D.parse(reserved), sequence: at,
      });
    }
    repaint(this.paint);
    this.onChange();
  }

  available(asset) {
    return this.byAsset.get(asset)?.available ?? 0n;
  }

  paint() {
    const rank = (asset) => (this.first.indexOf(asset) + 1 || 99);
    const assets = [...this.byAsset.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    for (const asset of assets) {
      const { available, reserved } = this.byAsset.get(asset);
      const row = this.rows.get(asset) || this.row(asset);
      const places = this.placesOf(asset);
      setText(row.available, D.shown(available, Math.min(places, 2), places));
      setText(row.reserved, D.shown(reserved, Math.min(places, 2), places));
    }
  }

  row(asset) {
    const node = element("tr", "", this.root, { "data-testid": `balance-${asset}` });
    element("th", "", node, { scope: "row" }).textContent = asset;
    const cells = {
      available: element("td", "", node, { "data-testid": `available-${asset}` }),
      reserved: element("td", "muted", node, { "data-testid": `reserved-${asset}` }),
    };
    this.rows.set(asset, cells);
    return cells;
  }
}
