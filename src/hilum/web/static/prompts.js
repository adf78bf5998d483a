// The playground without reloading by hand: another finding brings its own words; Ctrl+Enter measures.
"use strict";

const form = document.getElementById("prompts");
if (form) {
  const sides = { positive: form.elements.positive, negative: form.elements.negative };

  const restore = async () => {
    const query = new URLSearchParams({ finding: form.elements.finding.value, prompts: form.elements.prompts.value });
    const words = await (await ask(`/api/prompts?${query}`)).json();
    for (const [name, field] of Object.entries(sides)) field.value = words[name].join("\n");
  };

  document.getElementById("restore").addEventListener("click", restore);
  form.elements.finding.addEventListener("change", async () => { await restore(); form.requestSubmit(); });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); }
  });
}
