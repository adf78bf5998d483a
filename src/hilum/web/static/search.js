// Search as you type: the form's own address, asked for its part below the filters.
"use strict";

const form = document.getElementById("search");
const found = document.getElementById("found");
const WAIT_MS = 180;
let timer = null;
let running = null;
let more = null;

function address(path) {
  const values = new FormData(form);
  if (more) values.set("k", more);
  const query = new URLSearchParams();
  for (const [name, value] of values) {
    const isDefault = (name === "by" && value === "meaning") || (name === "value" && !values.get("label"));
    if (String(value).trim() !== "" && !isDefault) query.append(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

async function refresh() {
  if (running) running.abort();
  running = new AbortController();
  found.setAttribute("aria-busy", "true");
  try {
    const answer = await ask(address("/search/grid"), { signal: running.signal });
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.row : null;
    found.innerHTML = await answer.text(); // our own template's, in which everything is escaped
    if (focused) { const again = found.querySelector(`[data-row="${CSS.escape(focused)}"]`); if (again) again.focus(); }
    history.replaceState(null, "", address("/search"));
    found.setAttribute("aria-busy", "false");
  } catch (error) {
    if (error.name === "AbortError") return;
    found.replaceChildren(element("p", { class: "problem", role: "alert", text: error.message }));
    found.setAttribute("aria-busy", "false");
  }
}

function later() {
  more = null;
  clearTimeout(timer);
  timer = setTimeout(refresh, WAIT_MS);
}

form.addEventListener("input", later);
form.addEventListener("change", later);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  more = null;
  refresh();
});
found.addEventListener("click", (event) => {
  const button = event.target.closest("[data-more]");
  if (button) { more = button.dataset.more; refresh(); }
});

// On a small screen filters are out of the way until asked for.
if (window.matchMedia("(max-width: 900px)").matches) document.getElementById("filters").open = false;
