// What is wrong with the layout of a page at the window's width, one sentence each.
() => {
  const faults = new Set(), width = document.documentElement.clientWidth;
  const style = (each) => getComputedStyle(each);
  const name = (each) => {
    const classes = [...each.classList].map((one) => "." + one).join("");
    const text = each.textContent.trim().replace(/\s+/g, " ").slice(0, 60);
    return `<${each.localName}${classes}> "${text}"`;
  };
  const tiny = (box) => box.width <= 2 || box.height <= 2;  // read aloud, and not shown
  const shown = (each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const scrolls = (each) => /auto|scroll/.test(style(each).overflowX);
  const cuts = (each) => /hidden|clip/.test(style(each).overflowX);
  // Shadows that stay, and covers that scroll with the content, which nothing inside hides.
  const cue = (each) => {
    const kinds = style(each).backgroundAttachment.split(", ");
    const hides = (inner) =>
      inner.offsetWidth >= each.clientWidth && inner.offsetHeight > 0.8 * each.clientHeight &&
      style(inner).backgroundColor !== "rgba(0, 0, 0, 0)";
    return kinds.includes("local") && kinds.includes("scroll") &&
      ![...each.querySelectorAll("*")].some(hides);
  };
  const around = (each, which) => {
    for (let box = each.parentElement; box; box = box.parentElement) if (which(box)) return box;
    return null;
  };
  // An own <svg> chart, or a drawer that waits beside the window, is one thing.
  const parts = [...document.body.querySelectorAll("*")].filter(
    (each) => !each.parentElement.closest("svg, math, .katex") && shown(each)
  );

  if (document.documentElement.scrollWidth > width) {
    faults.add(`the page is ${document.documentElement.scrollWidth} wide in ${width}`);
  }
  for (const each of parts) {
    const box = each.getBoundingClientRect();
    if (tiny(box) || box.right <= 0) continue;
    if ((box.right > width + 1 || box.left < -1) && !around(each, scrolls)) {
      faults.add(`out of the window: ${name(each)}`);
    }
    if (each.localName === "svg" || each.localName === "math") continue;
    const more = each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 0;
    if (more && scrolls(each) && !cue(each)) faults.add(`scrolls without a cue: ${name(each)}`);
    if (more && cuts(each) && style(each).textOverflow !== "ellipsis") {
      faults.add(`cut at the side: ${name(each)}`);
    }
    const low = each.scrollHeight > each.clientHeight + 2 && each.clientHeight > 0;
    if (low && /hidden|clip/.test(style(each).overflowY)) faults.add(`cut below: ${name(each)}`);
  }

  // Texts of a chart: inside it, and apart from each other.
  for (const chart of document.querySelectorAll("svg.marks")) {
    if (!shown(chart)) continue;
    const frame = chart.getBoundingClientRect();
    const texts = [...chart.querySelectorAll("text")]
      .filter((each) => each.textContent.trim() && style(each).opacity !== "0" && each.getAttribute("opacity") !== "0")
      .map((each) => [each.textContent, each.getBoundingClientRect()]);
    texts.forEach(([text, box], i) => {
      if (box.left < frame.left - 2 || box.right > frame.right + 2 || box.top < frame.top - 2 || box.bottom > frame.bottom + 2) {
        faults.add(`cut in a chart: "${text}"`);
      }
      for (const [other, its] of texts.slice(i + 1)) {
        const across = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const down = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        if (across > 1 && down > 4) faults.add(`texts of a chart overlap: "${text}", "${other}"`);
      }
    });
  }

  // A word that starts on one line and ends on another.
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const cell = text.parentElement.closest("th, td");
    if (!cell || !shown(text.parentElement) || text.parentElement.closest("svg, math")) continue;
    for (const word of text.data.matchAll(/[\p{L}\p{N}_]+/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
      if (lines.size > 1) faults.add(`broken word in a table: "${word[0]}" of ${name(cell)}`);
    }
  }
  return [...faults];
}
