/** Asks before something is destroyed. Escape, and the button that comes first, keep it. */

import { h } from "./dom.js";
import { t } from "./language.js";

/**
 * @param {string} question
 * @returns {Promise<boolean>}
 */
export function confirmed(question) {
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      "dialog",
      { "aria-labelledby": "question" },
      h("p", { id: "question" }, question),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", value: "no", autofocus: true }, t("confirm.no")),
        h("button", { type: "button", value: "yes", class: "destroys" }, t("confirm.yes")),
      ),
    )
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("click", (event) => {
      if (event.target instanceof HTMLButtonElement) dialog.close(event.target.value);
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}
