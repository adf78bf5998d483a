// One image at a time: window, zoom, invert, heatmap; and what the model makes of it.
"use strict";

const viewer = document.getElementById("viewer");
const base = viewer.dataset.base;
const at = (id) => document.getElementById(id);
const canvas = at("canvas"), heat = at("heat"), film = at("film"), stage = at("stage");
const views = [...document.querySelectorAll("[data-view]")];
const state = { row: null, pixels: null, inverted: false, zoom: 1, x: 0, y: 0, heat: false };
const INITIAL = { center: 128, width: 256 };

function currentRow() {
  const chosen = views.find((view) => view.getAttribute("aria-selected") === "true");
  return chosen ? chosen.dataset.row : firstRow();
}

function firstRow() {
  if (viewer.dataset.row) return viewer.dataset.row;
  return decodeURIComponent(location.pathname.split("/").pop());
}

const resource = (name, query) => `${base}${encodeURIComponent(state.row)}/${name}${query ? "?" + new URLSearchParams(query) : ""}`;
const chosenModel = () => { const select = at("model"); return select ? { model: select.value } : {}; };

// The picture

async function show(row) {
  state.row = row;
  at("stage-note").textContent = "";
  const image = new Image();
  image.src = resource("picture.png");
  try {
    await image.decode();
  } catch (error) {
    at("stage-note").textContent = "The picture cannot be read now.";
    return;
  }
  if (state.row !== row) return;
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  state.pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  fit();
  draw();
  if (state.heat) showHeat();
  loadScores();
  loadSimilar();
}

function draw() {
  if (!state.pixels) return;
  const center = Number(at("center").value), width = Number(at("width").value);
  // DICOM PS3.3 C.11.2.1.2, linear exact, on the stored 8 bits.
  const table = new Uint8ClampedArray(256);
  for (let value = 0; value < 256; value++) {
    const share = (value - center) / width + 0.5;
    table[value] = (state.inverted ? 1 - share : share) * 255;
  }
  const shown = new ImageData(canvas.width, canvas.height);
  const from = state.pixels.data, to = shown.data;
  for (let place = 0; place < from.length; place += 4) {
    const gray = table[from[place]];
    to[place] = to[place + 1] = to[place + 2] = gray;
    to[place + 3] = 255;
  }
  canvas.getContext("2d").putImageData(shown, 0, 0);
  at("readout").textContent = `C ${center}  W ${width}  ${Math.round(state.zoom * 100)}%${state.inverted ? "  inverted" : ""}`;
}

function fit() {
  const room = stage.getBoundingClientRect();
  const scale = Math.min(room.width / canvas.width, room.height / canvas.height);
  film.style.width = `${canvas.width * scale}px`;
  film.style.height = `${canvas.height * scale}px`;
  place();
}

function place() {
  film.style.transform = `translate(-50%, -50%) translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
}

function zoom(factor) {
  state.zoom = Math.min(8, Math.max(1, state.zoom * factor));
  if (state.zoom === 1) state.x = state.y = 0;
  place();
  draw();
}

function reset() {
  Object.assign(state, { inverted: false, zoom: 1, x: 0, y: 0 });
  at("center").value = INITIAL.center;
  at("width").value = INITIAL.width;
  at("invert").setAttribute("aria-pressed", "false");
  place();
  draw();
}

function invert() {
  state.inverted = !state.inverted;
  at("invert").setAttribute("aria-pressed", String(state.inverted));
  draw();
}

function widen(by) {
  const width = at("width");
  width.value = Math.min(510, Math.max(2, Number(width.value) + by));
  draw();
}

function choose(view) {
  views.forEach((one) => {
    one.setAttribute("aria-selected", String(one === view));
    one.tabIndex = one === view ? 0 : -1;
  });
  canvas.setAttribute("aria-label", view.dataset.alt);
  show(view.dataset.row);
}

function turn(step) {
  if (views.length < 2) return;
  const here = views.findIndex((view) => view.getAttribute("aria-selected") === "true");
  const next = views[(here + step + views.length) % views.length];
  choose(next);
  next.focus();
}

// The heatmap

let heatAsked = 0;

async function showHeat() {
  const phrase = at("phrase").value.trim();
  if (!phrase) return;
  const number = ++heatAsked;
  at("stage-note").textContent = "Looking …";
  try {
    const answer = await ask(resource("heat.png", { phrase, ...chosenModel() }));
    const blob = await answer.blob();
    if (number !== heatAsked || !state.heat) return;
    if (heat.src) URL.revokeObjectURL(heat.src);
    heat.src = URL.createObjectURL(blob);
    heat.alt = `Heatmap of ${phrase}`;
    heat.hidden = false;
    const note = answer.headers.get("X-Heat-Note");
    at("heat-note").textContent = `Where the model looks for “${phrase}” (${answer.headers.get("X-Heat-How")}), not where disease is. ${note || ""}`;
    at("stage-note").textContent = "";
  } catch (error) {
    if (number !== heatAsked) return;
    heat.hidden = true;
    at("stage-note").textContent = error.message;
  }
}

function toggleHeat(on) {
  const button = at("heat-toggle");
  if (button.disabled) return;
  state.heat = on === undefined ? !state.heat : on;
  button.setAttribute("aria-pressed", String(state.heat));
  if (state.heat) showHeat(); else { heat.hidden = true; at("stage-note").textContent = ""; }
}

// Scores

const problem = (error) => element("p", { class: "problem", role: "alert", text: error.message });

async function loadScores() {
  const rows = at("score-rows");
  const row = state.row;
  try {
    const answer = await ask(resource("scores", { prompts: at("prompt-set").value, ...chosenModel() }));
    const told = await answer.json();
    if (row !== state.row) return;
    rows.replaceChildren(element("ol", { class: "scores" }, ...told.scores.map(scoreRow)));
    proposePhrase(told.scores);
  } catch (error) {
    if (row === state.row) rows.replaceChildren(problem(error));
  }
}

// Until somebody names another, the heatmap is of the finding that stands out most.
let isPhraseChosen = false;

function proposePhrase(scores) {
  const ranked = scores.filter((one) => one.finding !== "No Finding" && one.above !== null).sort((a, b) => b.above - a.above);
  if (!isPhraseChosen && !state.heat && ranked.length) at("phrase").value = ranked[0].finding;
}

function scoreRow(one) {
  const share = one.above === null ? null : Math.round(one.above * 100);
  const button = element("button", { type: "button", class: "finding", title: `${one.positive.join(" | ")}  against  ${one.negative.join(" | ")}`, text: one.finding });
  button.addEventListener("click", () => { isPhraseChosen = true; at("phrase").value = one.finding; toggleHeat(true); });
  const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  bar.setAttribute("viewBox", "0 0 100 8");
  bar.setAttribute("preserveAspectRatio", "none");
  bar.setAttribute("aria-hidden", "true");
  const track = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  track.setAttribute("class", "track"); track.setAttribute("width", "100"); track.setAttribute("height", "8");
  const filled = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  filled.setAttribute("class", share !== null && share >= 90 && one.finding !== "No Finding" ? "high" : "some");
  filled.setAttribute("width", String(share === null ? 0 : share)); filled.setAttribute("height", "8");
  bar.append(track, filled);
  return element("li", {}, button, bar,
    element("span", { class: "rank", title: "Share of the archive's images that score lower", text: share === null ? "–" : `${share}%` }),
    element("span", { class: "score", title: "Score, not a probability", text: one.score.toFixed(3) }));
}

at("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const finding = at("finding").value.trim();
  if (!finding) return;
  try {
    const answer = await ask(resource("scores", { prompts: at("prompt-set").value, finding, ...chosenModel() }));
    const told = await answer.json();
    const list = document.querySelector("#score-rows ol");
    if (list) { const made = scoreRow(told.scores[0]); made.classList.add("asked"); list.prepend(made); }
    at("finding").value = "";
  } catch (error) {
    at("score-rows").prepend(problem(error));
  }
});

// Similar images

async function loadSimilar() {
  const room = at("similar-images");
  const row = state.row;
  try {
    const answer = await ask(resource("similar", chosenModel()));
    const images = await answer.json();
    if (row !== state.row) return;
    room.replaceChildren(images.length ? element("ul", { class: "grid few" }, ...images.map(similarTile)) : element("p", { class: "quiet", text: "No other image is embedded yet." }));
  } catch (error) {
    if (row === state.row) room.replaceChildren(problem(error));
  }
}

const VIEWS = { pa: "PA", ap: "AP", ap_supine: "AP supine", lateral: "Lateral", unknown: "View unknown" };

function similarTile(one) {
  const who = [VIEWS[one.view] || one.view, { F: "woman", M: "man" }[one.sex], one.age_years === null ? null : `${Math.round(one.age_years)} years`].filter(Boolean).join(", ");
  const query = new URLSearchParams({ id: one.study_id, row: one.row });
  return element("li", { class: "tile" }, element("a", { href: `/study?${query}`, "data-tile": "", "data-row": one.row },
    element("span", { class: "picture" }, element("img", { src: `/api/images/${one.row}/small.jpg`, alt: `Chest radiograph, ${who}`, width: 256, height: 256 })),
    element("span", { class: "caption" }, element("span", { class: "who", text: who }), element("span", { class: "score", title: "Cosine", text: one.score.toFixed(3) })),
    one.snippet ? element("span", { class: "snippet", text: one.snippet }) : null));
}

// Hands

at("center").addEventListener("input", draw);
at("width").addEventListener("input", draw);
at("invert").addEventListener("click", invert);
at("zoom-in").addEventListener("click", () => zoom(1.25));
at("zoom-out").addEventListener("click", () => zoom(0.8));
at("reset").addEventListener("click", reset);
at("heat-toggle").addEventListener("click", () => toggleHeat());
at("strength").addEventListener("input", () => { heat.style.opacity = at("strength").value / 100; });
at("phrase").addEventListener("change", () => { isPhraseChosen = true; if (state.heat) showHeat(); });
at("prompt-set").addEventListener("change", loadScores);
if (at("model")) at("model").addEventListener("change", () => { loadScores(); loadSimilar(); if (state.heat) showHeat(); document.dispatchEvent(new Event("model-changed")); });
views.forEach((view) => view.addEventListener("click", () => choose(view)));
window.addEventListener("resize", fit);

stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1); }, { passive: false });
stage.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || state.zoom === 1) return;
  const from = { x: event.clientX - state.x, y: event.clientY - state.y };
  stage.setPointerCapture(event.pointerId);
  const move = (moved) => { state.x = moved.clientX - from.x; state.y = moved.clientY - from.y; place(); };
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", () => stage.removeEventListener("pointermove", move), { once: true });
});

const KEYS = {
  h: () => toggleHeat(), i: invert, "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: reset,
  "[": () => widen(-16), "]": () => widen(16), ArrowLeft: () => turn(-1), ArrowRight: () => turn(1),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || event.defaultPrevented) return;
  if (event.target.matches && event.target.matches("input[type=range], [data-tile]") && event.key.startsWith("Arrow")) return;
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

heat.style.opacity = at("strength").value / 100;
show(currentRow());
