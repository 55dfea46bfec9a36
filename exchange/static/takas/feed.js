// One WebSocket: subscribes, notices silence, reconnects with full jitter.
// `onState` gets connecting, live, reconnecting or stale (connected, but the server gets no feed).

const RECONNECT_MS_MIN = 250;
const RECONNECT_MS_MAX = 10_000;
const SILENCE_MS_MAX = 12_000; // the server's heartbeat comes every 5 s
const PING_MS = 5_000;
const SESSION_ENDED = 4401;

export class Feed {
  constructor({ url, channels, onFrame, onState, onLatency, onLive, onSessionEnded }) {
    Object.assign(this, { url, channels, onFrame, onState, onLatency, onLive, onSessionEnded });
    this.attempt = 0;
    this.socket = null;
    this.heardAt = 0;
    this.pings = new Map();
    this.pingId = 0;
    this.isSourceLive = true;
  }

  start() {
    this.open();
    setInterval(() => this.watch(), 1_000);
    setInterval(() => this.ping(), PING_MS);
    addEventListener("online", () => this.reopen());
  }

  open() {
    clearTimeout(this.timer);
    this.onState(this.attempt ? "reconnecting" : "connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.heardAt = performance.now();
    socket.onopen = () => this.send({ op: "subscribe", channels: this.channels, id: 0 });
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => this.lost(socket, event.code);
  }

  lost(socket, code) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.pings.clear();
    this.onState("reconnecting");
    if (code === SESSION_ENDED) {
      this.onSessionEnded();
      return;
    }
    const most = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** this.attempt);
    this.attempt = Math.min(this.attempt + 1, 10);
    this.timer = setTimeout(() => this.open(), Math.random() * most);
  }

  reopen() {
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
    this.open();
  }

  take(frame) {
    this.heardAt = performance.now();
    if (frame.type === "subscribed" && frame.id === 0) {
      this.attempt = 0;
      this.onState("live");
      this.onLive();
    } else if (frame.type === "heartbeat") {
      this.isSourceLive = frame.feed === "live";
      this.onState(this.isSourceLive ? "live" : "stale");
    } else if (frame.type === "pong") {
      const sentAt = this.pings.get(frame.id);
      this.pings.delete(frame.id);
      if (sentAt !== undefined) this.onLatency(Math.round(performance.now() - sentAt));
    } else {
      this.onFrame(frame);
    }
  }

  // Subscribes anew after a gap: the first frame is a snapshot again.
  resubscribe(channel) {
    this.send({ op: "unsubscribe", channels: [channel] });
    this.send({ op: "subscribe", channels: [channel], id: 1 });
  }

  ping() {
    if (document.hidden) return;
    this.pingId += 1;
    if (this.send({ op: "ping", id: this.pingId })) this.pings.set(this.pingId, performance.now());
  }

  watch() {
    const isOpen = this.socket && this.socket.readyState === WebSocket.OPEN;
    if (isOpen && performance.now() - this.heardAt > SILENCE_MS_MAX) this.reopen();
  }

  send(message) {
    if (!this.socket || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}
