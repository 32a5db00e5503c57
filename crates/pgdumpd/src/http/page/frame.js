/** What is around every view: navigation, how fresh what is shown is, language, and signing in and out. */

import { h } from "./dom.js";
import { clock } from "./format.js";
import { currentLanguage, t } from "./language.js";
import { href } from "./open.js";

/**
 * @typedef {import("./types.js").Rights} Rights
 * @typedef {import("./live.js").Live} Live
 * @typedef {import("./open.js").Place} Place
 * @typedef {import("./dom.js").Child} Child
 * @typedef {{ text: string, isProblem: boolean, job: string | null }} Notice
 */

/**
 * @param {{ rights: Rights | undefined, live: Live, place: Place, notice: Notice | undefined, hasToken: boolean }} state
 * @param {(Child | Child[])[]} content
 */
export function frame({ rights, live, place, notice, hasToken }, content) {
  return h(
    "div",
    { id: "page" },
    h("a", { class: "skip", href: "#main", "data-action": "skip" }, t("nav.skip")),
    h(
      "header",
      {},
      h("a", { class: "brand", href: href({}) }, "pgdumpd"),
      rights ? navigation(rights, place) : h("span", { class: "grow" }),
      rights && freshness(live),
      language(),
      hasToken && h("button", { type: "button", class: "plain", "data-action": "sign-out" }, t("nav.signOut")),
    ),
    rights && banner(live),
    notice ? noticeBox(notice) : null,
    h("main", { id: "main", tabindex: "-1", "data-key": `main-${place.view}` }, ...content),
    rights && footer(rights),
  );
}

/**
 * @param {Rights} rights
 * @param {Place} place
 */
function navigation(rights, place) {
  const isOfHistory = place.view === "history" || place.view === "job";
  const link = (/** @type {string} */ address, /** @type {string} */ text, /** @type {boolean} */ isHere) =>
    h("a", { href: address, "aria-current": isHere && "page" }, text);
  return h(
    "nav",
    { class: "grow", "aria-label": t("nav.main") },
    link(href({}), t("nav.overview"), place.view === "overview"),
    link(href({ view: "history" }), t("nav.history"), isOfHistory),
    rights.admin &&
      rights.targets === null &&
      link(href({ view: "daemons" }), t("nav.daemons"), place.view === "daemons"),
  );
}

/** @type {Record<import("./live.js").Freshness, import("./language.js").Word>} */
const FRESHNESS = {
  connecting: "live.connecting",
  live: "live.live",
  paused: "live.paused",
  stale: "live.stale",
  lost: "live.lost",
};

/** @param {Live} live */
function freshness(live) {
  const does = live.isPaused ? t("live.resume") : t("live.pause");
  return h(
    "button",
    { type: "button", class: `live ${live.freshness}`, "data-action": "pause", title: does },
    h("i", { "aria-hidden": "true" }),
    t(FRESHNESS[live.freshness]),
    h("span", { class: "hidden-text" }, `, ${does}`),
  );
}

/** @param {Live} live */
function banner(live) {
  const { freshness, heardAt } = live;
  if (freshness === "live" || freshness === "connecting") return null;
  const time = clock(heardAt);
  const word = heardAt === 0 ? "live.neverText" : /** @type {const} */ (`live.${freshness}Text`);
  return h("p", { class: `banner ${freshness}`, role: "status", "data-key": "banner" }, t(word, { time }));
}

function language() {
  const option = (/** @type {string} */ tag, /** @type {string} */ name) =>
    h("option", { value: tag, lang: tag, selected: tag === currentLanguage() }, name);
  return h(
    "label",
    { class: "language" },
    h("span", { class: "hidden-text" }, t("nav.language")),
    h("select", { "data-action": "language" }, option("en", "English"), option("pt-BR", "Português")),
  );
}

/** @param {Notice} notice */
function noticeBox(notice) {
  return h(
    "div",
    {
      class: `notice ${notice.isProblem ? "bad" : "good"}`,
      "data-key": "notice",
      role: notice.isProblem ? "alert" : "status",
    },
    h(
      "span",
      { class: "grow" },
      notice.job ? h("a", { href: href({ view: "job", id: notice.job }) }, notice.text) : notice.text,
    ),
    h("button", { type: "button", class: "plain", "data-action": "close-notice" }, t("done.close")),
  );
}

/** @param {Rights} rights */
function footer(rights) {
  return h(
    "footer",
    { class: "quiet small" },
    h("span", {}, `pgdumpd ${rights.version}`),
    rights.token && h("span", {}, rights.token),
    !rights.enqueue && !rights.cancel && h("span", {}, t("nav.readOnly")),
  );
}

/** @param {string} refused */
export function signIn(refused) {
  return [
    h("h1", { tabindex: "-1" }, t("sign.title")),
    h(
      "form",
      { class: "sign-in", "data-action": "sign-in" },
      h("label", { for: "token" }, t("sign.token")),
      h("input", {
        id: "token",
        name: "token",
        type: "password",
        required: true,
        autocomplete: "off",
        spellcheck: "false",
        "aria-describedby": "token-hint",
      }),
      h("p", { id: "token-hint", class: "quiet small" }, t("sign.hint")),
      refused && h("p", { class: "error-text", role: "alert" }, refused),
      h("button", { type: "submit", class: "main" }, t("sign.submit")),
    ),
  ];
}
