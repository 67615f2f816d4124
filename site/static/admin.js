"use strict";
/* A button that shows what was typed into the password fields it names. */
for (const button of document.querySelectorAll("[data-shows]")) {
  const fields = button.dataset.shows.split(" ").map((id) => document.getElementById(id));
  button.hidden = false;
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(shown));
    for (const field of fields) field.type = shown ? "text" : "password";
  });
  button.form.addEventListener("submit", () => {
    for (const field of fields) field.type = "password";
  });
}
