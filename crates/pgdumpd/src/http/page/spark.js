/** A small line of the newest values: no axes, the last value is marked, and a text says what it shows. */

import { svg } from "./dom.js";
import { number } from "./format.js";
import { t } from "./language.js";

const [WIDTH, HEIGHT, MARGIN] = [96, 24, 3];

/**
 * @param {"duration" | "size"} of
 * @param {(number | null)[]} values the oldest first
 * @param {(value: number) => string} shown how a value is written
 * @returns {SVGElement | null} null if there is nothing to compare
 */
export function spark(of, values, shown) {
  const known = values.filter((value) => value !== null);
  const last = known.at(-1);
  if (known.length < 2 || last === undefined) return null;
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const x = (/** @type {number} */ at) => round(MARGIN + (at / (known.length - 1)) * (WIDTH - 2 * MARGIN));
  // Values that are nearly the same make a straight line, not a drama: the scale begins at zero.
  const y = (/** @type {number} */ value) =>
    round(HEIGHT - MARGIN - (most > 0 ? value / most : 0) * (HEIGHT - 2 * MARGIN));
  const points = known.map((value, at) => `${x(at)},${y(value)}`).join(" ");
  const label = t(`spark.${of}`, {
    count: number(known.length),
    least: shown(least),
    most: shown(most),
    last: shown(last),
  });
  return svg(
    "svg",
    { class: `spark ${of}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
    svg("title", {}, label),
    svg("polygon", { points: `${x(0)},${HEIGHT - 1} ${points} ${x(known.length - 1)},${HEIGHT - 1}` }),
    svg("polyline", { points }),
    svg("circle", { cx: x(known.length - 1), cy: y(last), r: 2 }),
  );
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
