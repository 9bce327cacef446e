(() => {
  "use strict";
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  };

  const config = () => {
    const of = colours();
    const text = { labelColor: of("ink"), titleColor: of("ink"), titleFontWeight: "normal" };
    return {
      background: "transparent",
      font: "system-ui, sans-serif",
      axis: { ...text, gridColor: of("line"), domainColor: of("quiet"), tickColor: of("quiet") },
      legend: { ...text, orient: "bottom" },
      line: { color: of("accent") },
      point: { color: of("accent") },
      range: {
        category: dark.matches
          ? ["#ffb86b", "#7fb2ff", "#7ddc9a", "#e7a0ff"]
          : ["#b35900", "#1f5fd0", "#1b7a3d", "#8a2fb0"],
      },
    };
  };

  const draw = (id) =>
    window.vegaEmbed(document.getElementById(id), specs[id], {
      actions: false, ast: true, renderer: "svg", config: config(),
    });
  const drawAll = () => Promise.all(Object.keys(specs).map(draw));
  drawAll();
  dark.addEventListener("change", drawAll);

  const search = document.getElementById("search");
  if (search) {
    const stream = document.getElementById("stream");
    const found = document.getElementById("found");
    const rows = [...document.querySelectorAll("#generations article")].map((element) => ({
      element, stream: element.dataset.stream, text: element.textContent.toLowerCase(),
    }));
    const filter = () => {
      const wanted = search.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        const fits = (!stream.value || row.stream === stream.value) && row.text.includes(wanted);
        row.element.hidden = !fits;
        shown += fits;
      }
      found.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    };
    search.addEventListener("input", filter);
    stream.addEventListener("change", filter);
    search.form.addEventListener("submit", (event) => event.preventDefault());
  }
})();
