// A file in, its page out; on that page the draft, saving and forgetting.
"use strict";

const drop = document.getElementById("drop");
if (drop) {
  const file = document.getElementById("file"), status = document.getElementById("try-status"), told = document.getElementById("try-problem");

  const send = async (chosen) => {
    told.hidden = true;
    drop.classList.add("busy");
    status.textContent = `Reading ${chosen.name} …`;
    try {
      const answer = await ask("/api/tries", { method: "POST", body: chosen, headers: { "Content-Type": "application/octet-stream" } });
      const tried = await answer.json();
      location.assign(`/try/${encodeURIComponent(tried.key)}`);
    } catch (error) {
      status.textContent = "";
      told.textContent = error.message;
      told.hidden = false;
      drop.classList.remove("busy");
      file.value = "";
    }
  };

  file.addEventListener("change", () => { if (file.files.length) send(file.files[0]); });
  for (const name of ["dragover", "dragenter"]) document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => { if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]); });
}

const draft = document.getElementById("draft");
if (draft) {
  const forget = document.getElementById("forget"), save = document.getElementById("save"), status = document.getElementById("save-status");
  const address = `/api/tries/${encodeURIComponent(forget.dataset.key)}`;

  const load = async () => {
    const select = document.getElementById("model");
    try {
      const answer = await ask(`${address}/draft${select ? "?" + new URLSearchParams({ model: select.value }) : ""}`);
      show(await answer.json());
    } catch (error) {
      draft.replaceChildren(element("p", { class: "problem", role: "alert", text: error.message }));
    }
  };

  const show = (told) => {
    const source = (one) => one.study_id ? element("a", { class: "source", href: `/study?${new URLSearchParams({ id: one.study_id })}`, text: "source" }) : null;
    const kept = told.sentences.filter((one) => !one.left_out), left = told.sentences.filter((one) => one.left_out);
    const row = (one) => element("li", {}, element("span", { text: one.text }), " ", element("span", { class: "score", title: "Cosine of image and sentence", text: one.score.toFixed(3) }), " ", source(one),
      one.left_out ? element("span", { class: "quiet small", text: ` left out: ${one.left_out}` }) : null);
    draft.replaceChildren(
      element("p", { class: "problem mild", text: told.notice }),
      kept.length ? element("ol", { class: "sentences" }, ...kept.map(row)) : element("p", { class: "quiet", text: "No sentence could be retrieved." }),
      left.length ? element("details", {}, element("summary", { text: `${left.length} left out` }), element("ul", { class: "sentences" }, ...left.map(row))) : element("span", {}));
  };

  forget.addEventListener("click", async () => {
    try { await ask(address, { method: "DELETE" }); location.assign("/try"); } catch (error) { status.textContent = error.message; }
  });
  if (save) save.addEventListener("click", async () => {
    save.disabled = true;
    try {
      const saved = await (await ask(`${address}/save`, { method: "POST" })).json();
      status.replaceChildren(element("a", { href: `/study?${new URLSearchParams({ id: saved.study_id })}`, text: saved.added ? "Saved. Open its study" : "It was there already. Open its study" }));
    } catch (error) { status.textContent = error.message; save.disabled = false; }
  });
  document.addEventListener("model-changed", load);
  load();
}
