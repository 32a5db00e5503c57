import { Window } from "happy-dom";

/** Makes the globals of a page, which React wants before it is loaded. Requests and events stay Node's own, and are real. */
export function installDom(): void {
  const window = new Window({ url: "http://127.0.0.1/" });
  const names = ["document", "navigator", "HTMLElement", "HTMLIFrameElement", "Element", "Node", "MutationObserver"];
  for (const name of names) {
    const value = window[name as keyof Window];
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  Object.defineProperty(globalThis, "window", { value: window, configurable: true });
}

/** Hides or shows the page, as switching tabs does. */
export function setVisible(isVisible: boolean): void {
  Object.defineProperty(document, "visibilityState", { value: isVisible ? "visible" : "hidden", configurable: true });
  document.dispatchEvent(new window.Event("visibilitychange"));
}
