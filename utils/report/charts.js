"use strict";
// Header, tables and charts. Texts from outside (ids, classes, names) only ever become text nodes.

const data = JSON.parse(document.getElementById("data").textContent);
const items = data.items; // columns, worst item first
const byId = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

function make(tag, properties, ...children) {
  const svg = ["svg", "path", "line", "rect", "text", "g", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function fillFacts(list, facts) {
  list.replaceChildren(...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

function cell(numbers, key) {
  const value = numbers[key];
  const td = make("td", {});
  if (value === null || value === undefined) td.append("–");
  else td.append(Number.isInteger(value) && /^(n$|images)/.test(key) ? String(value) : value.toFixed(3));
  const interval = numbers[`${key}_95`];
  if (interval) td.append(make("small", {}, ` [${interval.map((end) => end.toFixed(3)).join(", ")}]`));
  return td;
}

// {title, columns: [[key, heading]], rows: [{name, free, numbers}]} -> its title, and a table that scrolls on its own
function table(content, rowHead = (row) => row.name, extra = null) {
  const rows = content.rows.map((row) => {
    const cells = content.columns.map(([key]) => cell(row.numbers, key));
    const tr = make("tr", row.free ? { class: "free" } : {}, make("th", { scope: "row" }, rowHead(row)), ...cells);
    if (extra) tr.append(extra(row));
    return tr;
  });
  const heads = ["", ...content.columns.map(([, heading]) => heading), ...(extra ? [""] : [])];
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = make("table", { "aria-label": content.title }, make("thead", {}, head), make("tbody", {}, ...rows));
  return [make("h3", {}, content.title),
    make("div", { class: rows.length > 14 ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": content.title }, body)];
}

const meter = (row) => {
  const bar = make("i", {});
  bar.style.width = `${100 * row.numbers.ciou}%`;
  return make("td", { "aria-hidden": "true" }, make("span", { class: "meter" }, bar));
};

const PLOT = { width: 460, height: 250, left: 34, bottom: 26, top: 8, right: 8 };
const plotX = (x) => PLOT.left + x * (PLOT.width - PLOT.left - PLOT.right);
const plotY = (y) => PLOT.height - PLOT.bottom - y * (PLOT.height - PLOT.bottom - PLOT.top);

function axes(label, top, format) {
  const svg = make("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": label });
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(make("line", { class: "axis", x1: plotX(0), x2: plotX(1), y1: plotY(tick), y2: plotY(tick) }),
      make("text", { x: PLOT.left - 6, y: plotY(tick) + 4, "text-anchor": "end" }, format(tick * top)),
      make("text", { x: plotX(tick), y: PLOT.height - 8, "text-anchor": "middle" }, String(tick)));
  }
  svg.append(make("line", { class: "mark", x1: plotX(0.5), x2: plotX(0.5), y1: plotY(0), y2: plotY(1) }));
  return svg;
}

function drawCurves() {
  const scored = (ious) => ious.filter((iou) => iou !== null);
  const lines = [["model", items.ious[data.rule]], ...Object.entries(items.others)].map(([name, ious]) => [name, scored(ious)]);
  const thresholds = Array.from({ length: 21 }, (_, step) => step / 20);
  const curves = lines.map(([name, ious]) => {
    const curve = thresholds.map((threshold) => ious.filter((iou) => iou >= threshold).length / ious.length);
    const area = curve.reduce((sum, y, i) => sum + (i ? (y + curve[i - 1]) / 40 : 0), 0);
    return { name, curve, area };
  });
  const said = curves.map(({ name, area }) => `${name}: area ${area.toFixed(3)}`).join("; ");
  const svg = axes(`Success curves. ${said}`, 1, (share) => share.toFixed(2));
  const legend = make("ul", { class: "legend" });
  const styles = curves.map((_, i) => {
    const colour = i ? `var(--other${i})` : "var(--accent)";
    return { fill: "none", stroke: colour, "stroke-width": i ? 1.75 : 3, "stroke-dasharray": i ? `${2 + 3 * i} 4` : "none" };
  });
  for (let i = curves.length - 1; i >= 0; i--) { // the model last, on top
    const d = curves[i].curve.map((y, step) => `${step ? "L" : "M"}${plotX(thresholds[step])} ${plotY(y)}`).join("");
    svg.append(make("path", { d, ...styles[i] }));
  }
  curves.forEach(({ name, area }, i) => {
    const sample = make("svg", { viewBox: "0 0 32 8", "aria-hidden": "true" }, make("path", { d: "M0 4H32", ...styles[i] }));
    legend.append(make("li", {}, sample, `${name}, area ${area.toFixed(3)}`));
  });
  byId("curves").append(svg, legend);
}

function drawHistogram() {
  const ious = items.ious[data.rule].filter((iou) => iou !== null); // of what sounds
  const counts = Array(20).fill(0);
  for (const iou of ious) counts[Math.min(19, Math.floor(iou * 20 + 1e-9))] += 1;
  const top = 4 * Math.ceil(Math.max(...counts) / 4); // so that each of the axis's quarters is whole
  const hits = ious.filter((iou) => iou >= 0.5).length;
  const svg = axes(`Histogram of IoU: ${hits} of ${ious.length} items reach 0.5`, top, (n) => String(n));
  counts.forEach((count, bin) => {
    const bar = make("rect", {
      x: plotX(bin / 20) + 1, width: plotX(0.05) - plotX(0) - 2, y: plotY(count / top), height: plotY(0) - plotY(count / top),
      fill: bin < 10 ? "var(--soft)" : "var(--accent)",
    }, make("title", {}, `IoU ${(bin / 20).toFixed(2)} to ${((bin + 1) / 20).toFixed(2)}: ${count} items`));
    svg.append(bar);
  });
  byId("histogram").append(svg, make("p", { class: "hint" }, `${hits} of ${ious.length} items reach 0.5.`));
}

function fillHead() {
  document.title = byId("title").textContent = data.title;
  byId("headline").textContent = data.headline;
  fillFacts(byId("facts"), data.facts);
  if (data.partial.length) {
    const left = data.partial.map(({ id, error }) => make("li", {}, `${id}: ${error}`));
    byId("partial").append(make("strong", {}, `Partial result: ${left.length} of the items could not be read and are not scored.`),
      make("details", {}, make("summary", {}, "Which"), make("ul", {}, ...left)));
    byId("partial").hidden = false;
  }
  const [first, ...others] = data.tables;
  byId("tables").append(...table(first));
  if (others.length) {
    byId("tables").append(make("details", {}, make("summary", {}, `${others.length} more: other rules and measures`),
      ...others.flatMap((content) => table(content))));
  }
  for (const place of document.querySelectorAll(".by-rule")) place.textContent = `by rule ${data.rule}`;
  byId("sizes").append(...table(data.sizes, undefined, meter));
  if (data.classes.rows.length) {
    const link = (row) => {
      const button = make("button", { type: "button", class: "link", title: "Show in the gallery" }, row.name);
      button.addEventListener("click", () => showClass(row.name));
      return button;
    };
    byId("classes").append(...table(data.classes, link, meter));
  }
  drawCurves();
  drawHistogram();
}
