// The trading page: reads the rules, wires the parts to one feed, refetches after each reconnect.

import { get, signInAgain } from "./api.js";
import { Balances } from "./balances.js";
import { Book } from "./book.js";
import * as D from "./decimal.js";
import { Feed } from "./feed.js";
import { OrderForm } from "./form.js";
import { byTestId, repaint, setText } from "./loop.js";
import { Orders } from "./orders.js";
import { stateText } from "./state.js";
import { Tape } from "./tape.js";
import { toast } from "./toasts.js";

const BALANCES_MS = 150; // after placing an order: the feed tells settlements, but not reservations
const REFETCH_MS = 30_000; // reads balances and orders again, as a private frame may have been lost
const WORDS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", stale: "Stale" };

function rulesOf(one) {
  const name = one.symbol;
  const [base, quote] = name.split("-");
  const tick = D.parse(one.tick);
  const lot = D.parse(one.lot);
  const quoteScale = one.quote_scale ?? 8;
  return {
    symbol: name, base, quote, tick, lot,
    pricePlaces: D.placesOf(tick),
    quantityPlaces: D.placesOf(lot),
    quoteUnit: D.ONE / 10n ** BigInt(quoteScale),
    quoteShown: Math.min(quoteScale, 8),
    takerPpm: BigInt(document.body.dataset.takerPpm),
    slippagePpm: BigInt(one.slippage_ppm ?? 0),
    state: one.state,
    isListed: one.is_listed,
  };
}

function socketUrl() {
  const given = document.body.dataset.websocket;
  return given || `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`;
}

class Page {
  constructor(one) {
    const { symbol } = one;
    this.rules = rulesOf(one);
    this.state = "connecting";
    const { base, quote, pricePlaces, quantityPlaces } = this.rules;
    const reasons = JSON.parse(document.getElementById("reasons").textContent);
    this.balances = new Balances({
      root: byTestId("balances-rows"), first: [base, quote], placesOf: () => 8,
      onChange: () => this.form && repaint(this.form.paint),
    });
    this.book = new Book({
      root: byTestId("book"), pricePlaces, quantityPlaces,
      onGap: () => this.feed.resubscribe(`${symbol}@depth`),
      onPick: (level) => this.form.pick(level),
      onChange: () => this.form && this.form.isMarket && repaint(this.form.paint),
    });
    this.tape = new Tape({
      root: byTestId("tape"), pricePlaces, quantityPlaces,
      onLast: (last, before) => this.last(last, before),
    });
    this.orders = new Orders({
      symbol, openRoot: byTestId("open-orders"), recentRoot: byTestId("recent-orders"),
      places: { price: pricePlaces, quantity: quantityPlaces }, reasons,
      onOpen: (open) => this.open(open), onReserve: () => this.balancesSoon(),
      marketPrice: (isBuy) => this.form.marketPrice(isBuy),
    });
    this.form = new OrderForm({
      form: byTestId("order-form"), rules: this.rules, book: this.book, balances: this.balances,
      orders: this.orders, isLive: () => this.state === "live",
    });
    byTestId("cancel-all").addEventListener("click", () => this.orders.cancelAll());
    this.marketState({ state: this.rules.state, phase: "none" });
    this.connect(symbol);
    this.offerUnlisted();
  }

  // Offers unlisted symbols in which the user still has orders, so that their pages can be found.
  async offerUnlisted() {
    try {
      const { items } = await get("/orders?status=live&limit=200");
      const select = byTestId("symbol");
      const offered = new Set([...select.options].map((option) => option.value));
      for (const name of new Set(items.map((order) => order.symbol))) {
        if (!offered.has(name)) select.append(new Option(`${name} (not listed)`, name));
      }
    } catch (error) {
      toast("error", "Could not look for orders in other symbols", error.message);
    }
  }

  connect(symbol) {
    this.feed = new Feed({
      url: socketUrl(),
      channels: [`${symbol}@depth`, `${symbol}@trade`, `${symbol}@state`, "orders", "balances"],
      onFrame: (frame) => this.frame(frame),
      onState: (state) => this.connection(state),
      onLatency: (ms) => setText(byTestId("latency"), `${ms} ms`),
      onLive: () => this.refetch(),
      onSessionEnded: signInAgain,
    });
    this.feed.start();
    setInterval(() => !document.hidden && this.state === "live" && this.refetch(), REFETCH_MS);
  }

  frame(frame) {
    if (frame.type === "snapshot" || frame.type === "delta") this.book.take(frame);
    else if (frame.type === "trade") this.tape.add([frame]);
    else if (frame.type === "state") this.marketState(frame);
    else if (frame.type === "order") this.orders.takeFrame(frame);
    else if (frame.type === "command") this.orders.takeCommand(frame.command);
    else if (frame.type === "balance") this.balances.take([frame]);
    else if (frame.type === "error") toast("error", "Feed", frame.detail);
  }

  // Frames may have been missed while the socket was down, so read everything from the API.
  async refetch() {
    try {
      const [balances, trades] = await Promise.all([
        get("/balances"), get(`/trades?symbol=${this.rules.symbol}&limit=40`), this.orders.refetch(),
      ]);
      this.balances.take(balances.items);
      this.tape.add(trades.items);
    } catch (error) {
      toast("error", "Could not load your orders and balances", error.message);
    }
  }

  balancesSoon() {
    clearTimeout(this.balancesTimer);
    this.balancesTimer = setTimeout(async () => {
      try {
        this.balances.take((await get("/balances")).items);
      } catch {
        // A lasting fault is shown by the next refetch.
      }
    }, BALANCES_MS);
  }

  connection(state) {
    this.state = state;
    document.body.dataset.connection = state;
    setText(byTestId("connection"), WORDS[state]);
    if (this.form) repaint(this.form.paint);
  }

  marketState(frame) {
    this.rules.state = frame.state;
    const text = stateText(frame, this.rules);
    setText(byTestId("market-state"), text);
    byTestId("market-state").toggleAttribute("hidden", !text);
    repaint(this.form.paint);
  }

  last(last, before) {
    const price = D.parse(last.price);
    this.form.lastPrice = price;
    const isUp = !before || price >= D.parse(before.price);
    const node = byTestId("last-price");
    setText(node, `${D.shown(price, this.rules.pricePlaces)} ${isUp ? "▲" : "▼"}`);
    node.classList.toggle("up", isUp);
    node.classList.toggle("down", !isUp);
    document.title = `${D.shown(price, this.rules.pricePlaces)} ${this.rules.symbol} · ${document.body.dataset.brand}`;
  }

  open(open) {
    setText(byTestId("open-count"), String(open.length));
    byTestId("cancel-all").disabled = open.length === 0;
    const own = open.filter((order) => order.price !== null).map((order) => D.parse(order.price));
    this.book.setOwn(new Set(own));
  }
}

// Tabs: `aria-selected` on the chosen button, `data-inactive` on the panels of the others.
function tabs(list) {
  const buttons = [...list.querySelectorAll("[role=tab]")];
  const select = (chosen) => buttons.forEach((button) => {
    const isChosen = button === chosen;
    button.setAttribute("aria-selected", String(isChosen));
    button.tabIndex = isChosen ? 0 : -1;
    const panel = document.getElementById(button.getAttribute("aria-controls"));
    panel.toggleAttribute("data-inactive", !isChosen);
  });
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => select(button));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = buttons[(index + step + buttons.length) % buttons.length];
      select(next);
      next.focus();
    });
  });
  select(buttons[0]);
}

document.querySelectorAll("[role=tablist]").forEach(tabs);
byTestId("symbol").addEventListener("change", (event) => location.assign(`/trade/${event.target.value}`));
get(`/symbols?symbol=${document.body.dataset.symbol}`).then(
  ({ items: [one] }) => new Page(one),
  (error) => toast("error", "The exchange does not answer", error.message),
);
