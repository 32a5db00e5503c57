/** Where the page is: a view and its filters, all in the address, so that links, reload and the back button work. */

/**
 * @typedef {{ view: "overview" | "history" | "job" | "daemons", id: string, target: string, state: string, kind: string,
 *   cursor: string }} Place
 */

const VIEWS = /** @type {const} */ (["overview", "history", "job", "daemons"]);

/** @returns {Place} */
export function place() {
  const query = new URLSearchParams(location.search);
  const get = (/** @type {string} */ name) => query.get(name) ?? "";
  const view = VIEWS.find((view) => view === query.get("view")) ?? "overview";
  return {
    view,
    id: get("id"),
    target: get("target"),
    state: get("state"),
    kind: get("kind"),
    cursor: get("cursor"),
  };
}

/**
 * The address of a place, relative to the page.
 * @param {Partial<Place>} wanted
 */
export function href(wanted) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value && !(name === "view" && value === "overview")) query.set(name, value);
  }
  const text = query.toString();
  return text ? `?${text}` : ".";
}

/**
 * Goes there, with a step that the back button takes back.
 * @param {string} address
 */
export function go(address) {
  history.pushState(null, "", new URL(address, document.baseURI));
}
