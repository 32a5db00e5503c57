/** The words of the page in the language of whoever reads it. */

import { english } from "./english.js";
import { portuguese } from "./portuguese.js";

/** @typedef {keyof typeof english} Word */

/** @type {Record<string, Record<Word, string>>} */
const LANGUAGES = { en: english, "pt-BR": portuguese };

const KEY = "pgdumpd.language";

let language = preferred();

function preferred() {
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen && chosen in LANGUAGES) return chosen;
  } catch {
    // The browser's language is then as good.
  }
  const first = navigator.languages.find((tag) => /^(en|pt)\b/i.test(tag));
  return first?.toLowerCase().startsWith("pt") ? "pt-BR" : "en";
}

export function currentLanguage() {
  return language;
}

/** How numbers and times are written: as in the reader's country, where its language is the page's. */
export function currentLocale() {
  const short = language.slice(0, 2);
  return navigator.languages.find((tag) => tag.toLowerCase().startsWith(short)) ?? language;
}

/** @param {string} chosen */
export function chooseLanguage(chosen) {
  if (!(chosen in LANGUAGES)) return;
  language = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // It then counts until the page is loaded again.
  }
}

/**
 * The text of a word, with what is named in braces put in.
 * @param {Word} word
 * @param {Record<string, string | number>} values
 */
export function t(word, values = {}) {
  const text = (LANGUAGES[language] ?? english)[word];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * The text of a word of the daemon, such as a state; the word itself where this page does not know it.
 * @param {string} group
 * @param {string | null} word
 */
export function wordOf(group, word) {
  if (word === null) return "";
  const name = `${group}.${word}`;
  return name in english ? t(/** @type {Word} */ (name)) : word;
}

/** What the daemon says about a job that waits. @type {[RegExp, Word][]} */
const REASONS = [
  [/^no daemon makes copies to storage "(.*)"$/s, "why.noCopier"],
  [/^no daemon that makes copies to storage "(.*)" has a storage that holds the backup$/s, "why.noSource"],
  [/^no daemon serves target "(.*)"$/s, "why.unserved"],
  [/^another backup of target "(.*)" is running$/s, "why.another"],
  [/^waits for a free daemon$/, "why.busy"],
  [/^is due at (.*)$/, "why.due"],
  [/^attempt (\d+) of (\d+) is due at (.*)$/, "why.attempt"],
];

/**
 * Why a job waits. What this page does not know is shown as the daemon says it.
 * @param {string | null} reason
 */
export function reasonOf(reason) {
  if (reason === null) return t("why.next");
  for (const [pattern, word] of REASONS) {
    const found = pattern.exec(reason);
    if (found) return t(word, Object.fromEntries(found.map((value, at) => [String(at), value])));
  }
  return reason;
}
