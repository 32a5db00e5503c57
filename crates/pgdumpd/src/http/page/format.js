/** Numbers, sizes, times and spans as people of the chosen language write them. */

import { h } from "./dom.js";
import { currentLocale } from "./language.js";

/** The database's clock less this browser's, in milliseconds. */
let ahead = 0;

/** @param {string} now the database's time */
export function setClock(now) {
  ahead = Date.parse(now) - Date.now();
}

/** The database's time, in milliseconds. */
export function now() {
  return Date.now() + ahead;
}

/** @param {number} count */
export function number(count) {
  return new Intl.NumberFormat(currentLocale()).format(count);
}

/** @param {number} percent */
export function percent(percent) {
  return new Intl.NumberFormat(currentLocale(), { maximumFractionDigits: 0 }).format(Math.floor(percent));
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** @param {number | null} bytes */
export function size(bytes) {
  if (bytes === null) return "–";
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  const digits = power === 0 || value >= 100 ? 0 : 1;
  const text = new Intl.NumberFormat(currentLocale(), { maximumFractionDigits: digits }).format(value);
  return `${text} ${UNITS[power]}`;
}

/**
 * A span in its two largest units, such as `2 h 5 min`.
 * @param {number | null} seconds
 */
export function span(seconds) {
  if (seconds === null) return "–";
  if (seconds > 0 && seconds < 1) return "< 1 s";
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes, rest] = [
    Math.floor(whole / 86400),
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min ${rest} s`;
  return `${rest} s`;
}

/** A unit, its length, and from which age on it is used: "34 hours ago" says more of a backup than "yesterday". */
/** @type {[Intl.RelativeTimeFormatUnit, number, number][]} */
const AGES = [
  ["day", 86400, 2 * 86400],
  ["hour", 3600, 3600],
  ["minute", 60, 60],
];

/**
 * How long ago something was, or how far ahead it is.
 * @param {number} seconds of the past are negative
 */
function distance(seconds) {
  const [unit, length] = AGES.find(([, , least]) => Math.abs(seconds) >= least) ?? ["second", 1];
  // Seconds that pass are unrest: what is less than a minute away is now.
  if (unit === "second") return new Intl.RelativeTimeFormat(currentLocale(), { numeric: "auto" }).format(0, "second");
  return new Intl.RelativeTimeFormat(currentLocale()).format(Math.trunc(seconds / length), unit);
}

/** @param {string | number} time */
export function date(time) {
  const format = new Intl.DateTimeFormat(currentLocale(), { dateStyle: "medium", timeStyle: "medium" });
  return format.format(new Date(time));
}

/** @param {number} milliseconds */
export function clock(milliseconds) {
  return new Intl.DateTimeFormat(currentLocale(), { timeStyle: "medium" }).format(milliseconds);
}

/**
 * A time as its distance, with its date as a title.
 * @param {string} time
 */
export function age(time) {
  const seconds = (Date.parse(time) - now()) / 1000;
  return h("time", { datetime: time, title: date(time) }, distance(seconds));
}

/**
 * A time as its date.
 * @param {string} time
 */
export function moment(time) {
  return h("time", { datetime: time }, date(time));
}
