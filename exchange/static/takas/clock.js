// Times for display: today's as the time alone, others with their date.

const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const DAY_OF_YEAR = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

export function moment(at, now = new Date()) {
  if (at.toDateString() === now.toDateString()) return TIME.format(at);
  const day = at.getFullYear() === now.getFullYear() ? DAY : DAY_OF_YEAR;
  return `${day.format(at)} ${TIME.format(at)}`;
}

export const fullMoment = (at) => FULL.format(at);
