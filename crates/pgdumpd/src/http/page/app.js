/** The page: what is known, what is asked for, and what a click does. */

import { get, hasToken, keepToken, post, Refusal, randomId } from "./api.js";
import { confirmed } from "./confirm.js";
import { daemonsView } from "./daemons.js";
import { become } from "./dom.js";
import { percent, setClock } from "./format.js";
import { frame, signIn } from "./frame.js";
import { historyPath, historyView } from "./history.js";
import { jobView } from "./job.js";
import { chooseLanguage, currentLanguage, t } from "./language.js";
import { Live } from "./live.js";
import { go, href, place } from "./open.js";
import { overviewView } from "./overview.js";

/** How often ages are written again. */
const TICK = 1000;

/** How often the daemons are asked for, while they are shown. */
const DAEMONS_AGAIN = 15_000;

const known = {
  /** @type {import("./types.js").Rights | undefined} */
  rights: undefined,
  /** Whether the daemon wants a token. */
  needsToken: false,
  /** Why the last token was not taken. */
  refused: "",
  /** @type {import("./types.js").Overview | undefined} */
  overview: undefined,
  /** @type {import("./types.js").Jobs | undefined} */
  history: undefined,
  /** @type {import("./types.js").JobDetails | "unknown" | undefined} */
  job: undefined,
  /** @type {import("./types.js").Tables | "loading" | undefined} */
  tables: undefined,
  /** @type {import("./types.js").Daemon[] | undefined} */
  daemons: undefined,
  /** @type {import("./frame.js").Notice | undefined} */
  notice: undefined,
};

const live = new Live(heard, render, refusedToFollow);

/** Ends what was asked for the last place. */
let asking = new AbortController();

void begin();

async function begin() {
  render();
  try {
    known.rights = await get("rights");
    known.needsToken = false;
    known.refused = "";
  } catch (error) {
    known.rights = undefined;
    if (error instanceof Refusal && error.status === 401) {
      known.needsToken = true;
      known.refused = hasToken() ? t("sign.refused") : "";
      keepToken("");
      render();
      document.getElementById("token")?.focus();
      return;
    }
    problem(error);
    setTimeout(begin, 5000);
    return;
  }
  open();
}

/** Shows the place that the address names. */
function open() {
  asking.abort();
  asking = new AbortController();
  const here = place();
  known.history = undefined;
  known.job = undefined;
  known.tables = undefined;
  live.start("overview/events");
  refresh();
  if (here.view !== "overview" && !known.overview) ask("overview", takeOverview);
  render();
}

/** Asks for what is shown, again. */
function refresh() {
  const here = place();
  if (here.view === "history") ask(historyPath(here), (page) => (known.history = page));
  if (here.view === "job") ask(`jobs/${encodeURIComponent(here.id)}`, (details) => (known.job = details));
  if (here.view === "daemons") ask("daemons", (answer) => (known.daemons = answer.daemons));
}

/**
 * @param {string} path
 * @param {(answer: any) => void} take
 */
async function ask(path, take) {
  const { signal } = asking;
  try {
    const answer = await get(path, signal);
    if (signal.aborted) return;
    take(answer);
    render();
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refusal && error.status === 404 && place().view === "job") {
      known.job = "unknown";
      render();
    } else {
      problem(error);
    }
  }
}

/** @param {import("./types.js").Overview} overview */
function takeOverview(overview) {
  known.overview = overview;
  setClock(overview.now);
}

/** Something has happened. @param {any} data */
function heard(data) {
  const before = openJobs(known.overview);
  takeOverview(data);
  const hasChanged = before !== undefined && before !== openJobs(known.overview);
  if (hasChanged || showsOpenJob()) refresh();
  render();
}

function showsOpenJob() {
  const { job } = known;
  return place().view === "job" && job !== undefined && job !== "unknown" && job.job.finishedAt === null;
}

/**
 * Changes when a job begins or ends.
 * @param {import("./types.js").Overview | undefined} overview
 */
function openJobs(overview) {
  if (!overview) return undefined;
  const ended = overview.targets.map((target) => target.lastEnded?.id);
  return JSON.stringify([overview.running.map((job) => job.id), overview.queuedTotal, ended]);
}

/** @param {Refusal} refusal */
function refusedToFollow(refusal) {
  if (refusal.status === 401) return void begin();
  if (refusal.status !== 404) problem(refusal);
}

/** @param {unknown} error */
function problem(error) {
  if (error instanceof Refusal && error.status === 401) return void begin();
  const text = error instanceof Error ? error.message : String(error);
  known.notice = { text: t("problem", { text }), isProblem: true, job: null };
  render();
}

/**
 * @param {string} text
 * @param {string | null} job
 */
function notice(text, job) {
  known.notice = { text, isProblem: false, job };
  render();
}

function content() {
  const here = place();
  const { rights } = known;
  if (!rights) return known.needsToken ? signIn(known.refused) : [];
  const targets = known.overview?.targets ?? [];
  if (here.view === "history") return historyView(here, known.history, targets);
  if (here.view === "job") return jobView(known.job, known.tables, rights);
  if (here.view === "daemons") return daemonsView(known.daemons);
  return overviewView(known.overview, rights);
}

function render() {
  const root = document.getElementById("page");
  if (!root) return;
  document.documentElement.lang = currentLanguage();
  const { rights, notice } = known;
  become(root, frame({ rights, live, place: place(), notice, hasToken: hasToken() }, content()));
  const title = root.querySelector("h1")?.textContent;
  document.title = title ? `${title} · pgdumpd` : "pgdumpd";
}

/** Goes to another place: whoever uses a screen reader hears its title. @param {string} address */
function goTo(address) {
  go(address);
  known.notice = undefined;
  open();
  document.querySelector("h1")?.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** @param {string} target */
async function backUp(target) {
  try {
    const answer = await post("create", { target, id: randomId() });
    notice(t("done.asked", { target }), answer.id);
  } catch (error) {
    problem(error);
  }
}

/** @param {string} id */
async function cancel(id) {
  const job = jobOf(id);
  if (!job) return;
  const { target } = job;
  const question =
    job.state === "running"
      ? t("confirm.cancelRunning", { target, progress: percent(job.progress) })
      : t("confirm.cancelQueued", { target });
  if (!(await confirmed(question))) return;
  try {
    const { cancel } = await post(`cancel/${encodeURIComponent(id)}`);
    const word = /** @type {const} */ ({ cancelled: "done.cancelled", stopping: "done.stopping" })[
      /** @type {"cancelled" | "stopping"} */ (cancel)
    ];
    notice(t(word ?? "done.ended", { target }), id);
    refresh();
  } catch (error) {
    problem(error);
  }
}

/** @param {string} id */
function jobOf(id) {
  const { job, overview } = known;
  if (job && job !== "unknown" && job.job.id === id) return job.job;
  const running = overview?.running.find((job) => job.id === id);
  const queued = overview?.queued.find((job) => job.id === id);
  return running ?? (queued && { ...queued, state: "queued", progress: 0 });
}

/** @type {Record<string, (element: HTMLElement) => void>} */
const ACTIONS = {
  "back-up": ({ dataset }) => void backUp(dataset.target ?? ""),
  cancel: ({ dataset }) => void cancel(dataset.id ?? ""),
  tables: () => {
    known.tables = "loading";
    ask(`jobs/${encodeURIComponent(place().id)}/tables`, (tables) => (known.tables = tables));
    render();
  },
  pause: () => {
    live.pause(!live.isPaused);
    if (!live.isPaused) refresh();
    render();
  },
  "close-notice": () => {
    known.notice = undefined;
    render();
  },
  "sign-out": () => {
    keepToken("");
    live.stop();
    location.reload();
  },
  skip: () => document.getElementById("main")?.focus(),
};

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  const acting = event.target.closest("button[data-action], a[data-action]");
  if (acting instanceof HTMLElement) {
    event.preventDefault();
    ACTIONS[acting.dataset.action ?? ""]?.(acting);
    return;
  }
  const link = event.target.closest("a");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (link && isPlain) {
    event.preventDefault();
    goTo(link.getAttribute("href") ?? ".");
  }
});

document.addEventListener("change", (event) => {
  const { target } = event;
  if (!(target instanceof HTMLSelectElement)) return;
  if (target.dataset.action === "language") {
    chooseLanguage(target.value);
    render();
    return;
  }
  const { target: name, state, kind } = place();
  go(href({ view: "history", target: name, state, kind, [target.name]: target.value }));
  open();
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (form.dataset.action !== "sign-in") return;
  keepToken(String(new FormData(form).get("token") ?? "").trim());
  void begin();
});

addEventListener("popstate", open);
setInterval(() => known.rights && !document.hidden && render(), TICK);
setInterval(() => {
  if (place().view === "daemons" && !live.isPaused && !document.hidden) refresh();
}, DAEMONS_AGAIN);
