// Keys that work on every page. Loaded by all of them; nothing here knows what a page is about.
"use strict";

document.documentElement.classList.add("has-script");

const isTyping = (target) =>
  target instanceof HTMLElement &&
  (target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
    (target.tagName === "INPUT" && !/^(checkbox|radio|range|button|submit)$/.test(target.type)));

const help = document.getElementById("help");
document.querySelectorAll("[data-help]").forEach((button) => button.addEventListener("click", () => help.showModal()));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && isTyping(event.target)) {
    event.target.blur();
    return;
  }
  if (isTyping(event.target)) {
    if (event.key === "/" && event.target.matches("[data-search]") && !event.target.value) event.preventDefault();
    if (event.key === "ArrowDown" && event.target.matches("[data-search]")) {
      const first = document.querySelector("[data-tile]");
      if (first) { first.focus(); event.preventDefault(); }
    }
    return;
  }
  if (event.key === "/") {
    const field = document.querySelector("[data-search]");
    event.preventDefault();
    if (field) { field.focus(); field.select(); } else { location.assign("/search"); }
  } else if (event.key === "?") {
    event.preventDefault();
    if (help.open) help.close(); else help.showModal();
  } else if (event.key.startsWith("Arrow") && event.target.matches && event.target.matches("[data-tile]")) {
    moveAmongTiles(event);
  }
});

function moveAmongTiles(event) {
  const grid = event.target.closest("ul");
  const tiles = [...grid.querySelectorAll("[data-tile]")];
  const here = tiles.indexOf(event.target);
  const top = tiles[0].getBoundingClientRect().top;
  const inRow = Math.max(1, tiles.findIndex((tile) => tile.getBoundingClientRect().top > top + 4));
  const columns = inRow === 1 && tiles.every((tile) => tile.getBoundingClientRect().top <= top + 4) ? tiles.length : inRow;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
  const next = here + step;
  event.preventDefault();
  if (next < 0 && event.key === "ArrowUp") {
    const field = document.querySelector("[data-search]");
    if (field) field.focus();
  } else if (tiles[next]) {
    tiles[next].focus();
    tiles[next].scrollIntoView({ block: "nearest" });
  }
}

// What every script needs to ask the API: the answer, or the words of its problem.
async function ask(address, options) {
  let answer;
  try {
    answer = await fetch(address, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is hilum serve still running?");
  }
  if (!answer.ok) {
    let told = `The server answered with ${answer.status}.`;
    try {
      const problem = await answer.json();
      told = problem.detail || problem.title || told;
    } catch (error) { /* not JSON: the status must do */ }
    throw new Error(told);
  }
  return answer;
}

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "text") made.textContent = value; else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
