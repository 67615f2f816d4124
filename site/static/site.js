// A form marked data-once says that it is on its way, and goes only once.
const rest = (form) => {
  form.removeAttribute("aria-busy");
  for (const button of form.querySelectorAll(".busy")) {
    button.classList.remove("busy");
    button.textContent = button.dataset.label;
  }
};
addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.ariaBusy) return event.preventDefault();
  form.ariaBusy = "true";
  const button = event.submitter;
  if (button) {
    button.dataset.label = button.textContent;
    button.textContent = "Sending";
    button.classList.add("busy");
  }
  setTimeout(rest, 10000, form);
});
// The Back button may bring the page back as it was left: let the form go again.
addEventListener("pageshow", () => document.querySelectorAll("[aria-busy]").forEach(rest));
