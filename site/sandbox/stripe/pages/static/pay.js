// Saves typing spaces and paying twice; the page does all it does without.
"use strict";
const form = document.getElementById("payment");
const number = document.getElementById("number");
const expiry = document.getElementById("expiry");
const grouped = (text) => (text.replace(/\D/g, "").match(/.{1,4}/g) || []).join(" ");
const atEnd = (field) => field.selectionStart === field.value.length;
if (number) {
  number.addEventListener("input", () => {
    if (atEnd(number)) number.value = grouped(number.value);
  });
}
if (expiry) {
  expiry.addEventListener("input", (event) => {
    if (event.inputType === "insertText" && atEnd(expiry) && /^\d\d$/.test(expiry.value)) {
      expiry.value += "/";
    }
  });
}
form.addEventListener("submit", (event) => {
  if (form.getAttribute("aria-busy")) {
    event.preventDefault();
    return;
  }
  const button = form.querySelector("button");
  form.setAttribute("aria-busy", "true");
  button.firstElementChild.textContent = button.dataset.busy;
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload();
});
