/** Requests to the daemon that has served this page, with the token that was typed. All addresses are relative. */

const here = new URL(".", document.baseURI);

/** Two daemons behind one proxy have different tokens. */
const KEY = `pgdumpd.token:${here.pathname}`;

let token = stored();

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

/**
 * Keeps a token for as long as this tab is open; an empty one forgets it.
 * @param {string} typed
 */
export function keepToken(typed) {
  token = typed;
  try {
    if (typed) sessionStorage.setItem(KEY, typed);
    else sessionStorage.removeItem(KEY);
  } catch {
    // It is then known until the page is loaded again.
  }
}

export function hasToken() {
  return token !== "";
}

/** What the daemon refused, in its words. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} text
   */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

/**
 * @param {string} path below `api/backup/`
 * @param {RequestInit} options
 * @returns {Promise<Response>}
 */
async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const response = await fetch(new URL(`api/backup/${path}`, here), {
    ...options,
    headers,
    credentials: "same-origin",
    redirect: "error",
  });
  if (!response.ok) throw await refusal(response);
  return response;
}

/** @param {Response} response */
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const text = [problem.detail ?? `${response.status} ${response.statusText}`, problem.hint].filter(Boolean).join(". ");
  return new Refusal(response.status, text);
}

/**
 * @param {string} path
 * @param {AbortSignal} [signal]
 */
export async function get(path, signal) {
  return (await ask(path, signal ? { signal } : {})).json();
}

/**
 * @param {string} path
 * @param {object} [body]
 */
export async function post(path, body) {
  const options = body ? { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) } : {};
  return (await ask(path, { method: "POST", ...options })).json();
}

/**
 * Reads server-sent events, until the stream ends. `heard` is called for whatever comes, also where it is no event.
 * @param {string} path
 * @param {AbortSignal} signal
 * @param {(data: any) => void} event
 * @param {() => void} heard
 */
export async function follow(path, signal, event, heard) {
  const response = await ask(path, { signal, headers: { Accept: "text/event-stream" }, cache: "no-store" });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length > 0) event(JSON.parse(data.map((line) => line.slice(5)).join("\n")));
    }
  }
}

/** A random id: a request that is sent twice is one backup. */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (Number(bytes[6]) & 0x0f) | 0x40;
  bytes[8] = (Number(bytes[8]) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
