// A form marked data-once says that it is on its way, and goes only once.
const labels = new Map();
const rest = (form) => {
  form.removeAttribute("aria-busy");
  for (const button of form.querySelectorAll(".busy")) {
    button.classList.remove("busy");
    button.replaceChildren(...labels.get(button));
  }
};
addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.ariaBusy) return event.preventDefault();
  form.ariaBusy = "true";
  const button = event.submitter;
  if (button) {
    labels.set(button, [...button.childNodes]);
    button.replaceChildren("Sending");
    button.classList.add("busy");
  }
  setTimeout(rest, 10000, form);
});
// The total and what the button says follow the number of places.
const follow = (field) => {
  const total = field.dataset.totals.split("|")[field.value.trim() - 1];
  if (!total) return;
  field.form.elements.amount.value = field.dataset.amount * field.value;
  for (const place of field.form.querySelectorAll("[data-total]")) place.textContent = total;
};
addEventListener("input", ({target}) => target.dataset.totals && follow(target));
// The Back button may bring the page back as it was left: let the form go again.
addEventListener("pageshow", () => {
  document.querySelectorAll("[aria-busy]").forEach(rest);
  document.querySelectorAll("[data-totals]").forEach(follow);
});
