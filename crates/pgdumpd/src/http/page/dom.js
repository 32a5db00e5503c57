/**
 * Elements from plain data, and a tree that becomes another one without losing focus, selection or open details.
 * All text is text: nothing here reads markup.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | number | false | null | undefined} Child
 * @typedef {Record<string, string | number | boolean | null | undefined>} Attributes
 */

/**
 * An element. An attribute that is false, null or undefined is left out; one that is true is empty.
 * @param {string} name
 * @param {Attributes} attributes
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/**
 * An element of a drawing.
 * @param {string} name
 * @param {Attributes} attributes
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/**
 * @template {Element} E
 * @param {E} element
 * @param {Attributes} attributes
 * @param {(Child | Child[])[]} children
 * @returns {E}
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child === false || child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * Makes `present` look like `wanted`, and keeps every element that stays the same: those with the same `data-key` are.
 * @param {Element} present
 * @param {Element} wanted
 */
export function become(present, wanted) {
  takeAttributes(present, wanted);
  takeChildren(present, wanted);
  if (present instanceof HTMLSelectElement) {
    const chosen = [...present.options].find((option) => option.defaultSelected);
    if (chosen) present.value = chosen.value;
  }
}

/**
 * @param {Element} present
 * @param {Element} wanted
 */
function takeAttributes(present, wanted) {
  for (const { name } of [...present.attributes]) {
    // Who has opened something wants to read it.
    if (name === "open" && present instanceof HTMLDetailsElement) continue;
    if (!wanted.hasAttribute(name)) present.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
}

/**
 * @param {Element} present
 * @param {Element} wanted
 */
function takeChildren(present, wanted) {
  const keyed = new Map([...present.children].filter(keyOf).map((child) => [keyOf(child), child]));
  /** @type {ChildNode | null} */
  let next = present.firstChild;
  for (const child of [...wanted.childNodes]) {
    const key = keyOf(child);
    const same = key ? keyed.get(key) : next;
    if (!same || !isLike(same, child)) {
      present.insertBefore(child, next);
      continue;
    }
    if (same === next) next = next.nextSibling;
    else present.insertBefore(same, next);
    if (same instanceof Element && child instanceof Element) become(same, child);
    else if (same.nodeValue !== child.nodeValue) same.nodeValue = child.nodeValue;
  }
  while (next) {
    const rest = next;
    next = next.nextSibling;
    rest.remove();
  }
}

/** @param {Node} node */
function keyOf(node) {
  return node instanceof Element ? node.getAttribute("data-key") : null;
}

/**
 * @param {Node} one
 * @param {Node} other
 */
function isLike(one, other) {
  return one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}
