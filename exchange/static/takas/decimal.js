// Exact decimals: a value is a BigInt of 10^-18. Money never becomes a JavaScript number.

const PLACES = 18;
export const ONE = 10n ** BigInt(PLACES);
const PLAIN = /^(\d{1,20})(?:\.(\d{1,18}))?$/;

// The value of a plain decimal string, or null when it is not one.
export function parse(text) {
  const match = PLAIN.exec(text);
  if (!match) return null;
  return BigInt(match[1]) * ONE + BigInt((match[2] || "").padEnd(PLACES, "0"));
}

// Typed numbers: plain digits with at most one decimal mark, a dot or a comma. A mark that may group
// digits is refused: "1,000" is a thousand to one person, and one to another.
const TYPED = /^(\d{0,20})(?:[.,](\d{0,18}))?$/;
const MAY_BE_GROUPED = /^[1-9]\d{0,2}[.,]\d{3}$/;
const TYPED_RULE = "write plain digits without spaces or grouping, with one dot or comma before the decimals";

// Returns { value, fault }: the value, or null and the fault's text; an empty text has neither.
export function readTyped(text) {
  const typed = text.trim();
  if (!typed) return { value: null, fault: "" };
  if (MAY_BE_GROUPED.test(typed)) {
    const [whole, fraction] = typed.split(/[.,]/);
    const fault = `"${typed}" can mean ${whole}${fraction} or ${whole}.${fraction}: write ${whole}${fraction}, or ${whole}.${fraction}0`;
    return { value: null, fault };
  }
  const match = TYPED.exec(typed);
  if (!match || !/\d/.test(typed)) return { value: null, fault: `"${typed}" is not read: ${TYPED_RULE}` };
  return { value: parse(`${match[1] || "0"}${match[2] ? `.${match[2]}` : ""}`), fault: "" };
}

export const parseTyped = (text) => readTyped(text).value;

// The text of a value as a person could type it; reading it gives the same value.
export function typed(value) {
  const plain = text(value);
  return MAY_BE_GROUPED.test(plain) ? `${plain}0` : plain;
}

// Plain notation without trailing zeros, as the API wants it.
export function text(value) {
  const digits = String(value < 0n ? -value : value).padStart(PLACES + 1, "0");
  const fraction = digits.slice(-PLACES).replace(/0+$/, "");
  const whole = digits.slice(0, -PLACES);
  return `${value < 0n ? "-" : ""}${whole}${fraction ? `.${fraction}` : ""}`;
}

// For display: thousands apart, at least `places` decimals, cut (never rounded up) after `most`.
export function shown(value, places, most = PLACES) {
  const [whole, fraction = ""] = text(value).split(".");
  const cut = fraction.slice(0, most).replace(/0+$/, "").padEnd(Math.min(places, most), "0");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u2009");
  return cut ? `${grouped}.${cut}` : grouped;
}

// Decimal places of a step such as "0.01".
export function placesOf(step) {
  return (text(step).split(".")[1] || "").length;
}

// Products and quotients are exact up to 10^-18; the rounding is in the name.
export const timesDown = (a, b) => (a * b) / ONE;
export const timesUp = (a, b) => (a * b + ONE - 1n) / ONE;
export const overDown = (a, b) => (a * ONE) / b;

// The largest multiple of `step` that is not above `value`.
export const floorTo = (value, step) => value - (value % step);
// The smallest multiple of `step` that is not below `value`.
export const ceilTo = (value, step) => floorTo(value + step - 1n, step);
export const min = (a, b) => (a < b ? a : b);
