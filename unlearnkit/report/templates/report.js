(() => {
  "use strict";
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  };

  // Pixels of the longest name in a legend, with its mark.
  const longest = (spec) => {
    const names = (each) =>
      each === null || typeof each !== "object" ? []
        : Object.entries(each).flatMap(([key, value]) =>
            key === "domain" && Array.isArray(value)
              ? value.filter((name) => typeof name === "string") : names(value));
    return 40 + 6.5 * Math.max(0, ...names({ ...spec, data: null, datasets: null }).map((name) => name.length));
  };

  const config = (place, spec) => {
    const of = colours();
    const wide = place.clientWidth || window.innerWidth;
    const columns = Math.max(1, Math.min(3, Math.floor(wide / longest(spec))));
    // A label that does not fit ends with dots; the caption, or the tooltip, holds all of it.
    const room = Math.max(160, Math.floor(wide / columns) - 80);
    const narrow = window.innerWidth < 640;
    const text = { labelColor: of("ink"), titleColor: of("ink"), titleFontWeight: "normal" };
    return {
      background: "transparent",
      font: "system-ui, sans-serif",
      axis: { ...text, titleLimit: narrow ? 220 : 520, gridColor: of("line"), domainColor: of("quiet"), tickColor: of("quiet") },
      legend: {
        ...text, orient: "bottom", columns, labelLimit: room,
        symbolBaseFillColor: of("ink"), symbolBaseStrokeColor: of("ink"),
      },
      line: { color: of("accent") },
      point: { color: of("accent") },
      range: {
        category: dark.matches
          ? ["#ffb86b", "#7fb2ff", "#7ddc9a", "#e7a0ff", "#ff9a94", "#6fd9e0", "#e3d36a", "#c0c7d0"]
          : ["#b35900", "#1f5fd0", "#1b7a3d", "#8a2fb0", "#c0262d", "#00707a", "#7a6a00", "#4d5661"],
      },
    };
  };

  const draw = (id) => {
    const place = document.getElementById(id);
    return window.vegaEmbed(place, specs[id], {
      actions: false, ast: true, renderer: "svg", config: config(place, specs[id]),
    });
  };
  const search = document.getElementById("search");
  if (search) {
    const perPage = 10;
    const stream = document.getElementById("stream");
    const found = document.getElementById("found");
    const previous = document.getElementById("previous");
    const next = document.getElementById("next");
    const rows = [...document.querySelectorAll("#generations article")].map((element) => ({
      element, stream: element.dataset.stream, text: element.textContent.toLowerCase(),
    }));
    let fitting = rows;
    let first = 0;
    const show = () => {
      const page = new Set(fitting.slice(first, first + perPage));
      for (const row of rows) row.element.hidden = !page.has(row);
      previous.disabled = first === 0;
      next.disabled = first + perPage >= fitting.length;
      const of = fitting.length === rows.length ? "" : `, of ${rows.length}`;
      found.textContent = fitting.length
        ? `${first + 1} to ${first + page.size} of ${fitting.length} rows${of}`
        : "no row fits";
    };
    const filter = () => {
      const wanted = search.value.trim().toLowerCase();
      fitting = rows.filter(
        (row) => (!stream.value || row.stream === stream.value) && row.text.includes(wanted),
      );
      first = 0;
      show();
    };
    const turn = (by) => { first += by; show(); };
    search.addEventListener("input", filter);
    stream.addEventListener("change", filter);
    search.form.addEventListener("submit", (event) => event.preventDefault());
    previous.addEventListener("click", () => turn(-perPage));
    next.addEventListener("click", () => turn(perPage));
    previous.parentElement.hidden = false;
    filter();
  }

  const picked = document.getElementById("token-row");
  if (picked) {
    const tokens = JSON.parse(document.getElementById("tokens").textContent);
    const chart = document.querySelector("section[aria-labelledby=h-tokens] .chart").id;
    const element = (name, text, attributes = {}) => {
      const made = document.createElement(name);
      made.textContent = text;
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      return made;
    };
    const shade = (fall) => (fall >= 5 ? "fell-3" : fall >= 2 ? "fell-2" : fall >= 0.5 ? "fell-1" : "");
    const digits = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
    const pick = () => {
      const row = tokens[Number(picked.value)];
      const models = Object.keys(row.logps);
      const fall = (i) => (row.logps.before?.[i] ?? 0) - (row.logps.after?.[i] ?? 0);
      document.getElementById("token-text").replaceChildren(
        ...row.tokens.map((token, i) => element("span", token, { class: shade(fall(i)) })),
      );
      const head = element("tr", "");
      head.append(...["token", ...models].map((text) => element("th", text, { scope: "col" })));
      const lines = row.tokens.map((token, i) => {
        const line = element("tr", "");
        line.append(element("th", token, { scope: "row", class: "text" }));
        line.append(...models.map((model) => element("td", digits(row.logps[model][i]))));
        return line;
      });
      const table = document.getElementById("token-table");
      table.replaceChildren(table.caption, head, ...lines);
      specs[chart].data = { values: models.flatMap((model) =>
        row.tokens.map((token, i) => ({ position: i + 1, token, model, logp: row.logps[model][i] })),
      ) };
    };
    pick();
    picked.addEventListener("change", () => { pick(); draw(chart); });
  }

  const drawAll = () => Promise.all(Object.keys(specs).map(draw));
  drawAll();
  dark.addEventListener("change", drawAll);
  // How many names of a legend stand beside each other depends on the width.
  let waiting = 0;
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  });
})();
