"use strict";
// The gallery and the opened item. Ids and classes only become text. Items are decoded when they are shown.

const SIDE = 224; // pixels a side of heat maps and ground truth
const PER_PAGE = 24;
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent); // columns, worst item first
const player = byId("player");
const dialog = byId("item");
let order = []; // indices of the items that fit the controls
let page = 0;
let opened = null; // index of the item in the dialog
let playing = null; // index of the item whose sound the player has

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const colours = new Uint32Array(bytesOf(data.colours).buffer); // 256 of the heat map, RGBA
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const number = (value, digits) => (value === null ? "none" : value.toFixed(digits));
const iouOf = (i) => data.ious[byId("rule").value][i];
const iouText = (i) => (iouOf(i) === null ? "nothing sounds" : `IoU ${iouOf(i).toFixed(2)}${iouOf(i) >= 0.5 ? " ✓" : ""}`);
const titleOf = (i) => (data.class[i] ? `${data.id[i]}, ${data.class[i]}` : data.id[i]);
const pages = () => Math.max(1, Math.ceil(order.length / PER_PAGE));

// Cosines of a coarse grid -> SIDE x SIDE, bilinear between the centres of cells, then min-max; a constant map is 0.
function heatMap(cosines, height, width) {
  const places = (count) => Array.from({ length: SIDE }, (_, pixel) => {
    const at = Math.max(0, ((pixel + 0.5) * count) / SIDE - 0.5);
    const low = Math.min(Math.floor(at), count - 1);
    return [low, Math.min(low + 1, count - 1), at - low];
  });
  const columns = places(width);
  const map = Float32Array.from(places(height).flatMap(([top, bottom, down]) => columns.map(([left, right, along]) => {
    const between = (row) => cosines[row * width + left] * (1 - along) + cosines[row * width + right] * along;
    return between(top) * (1 - down) + between(bottom) * down;
  })));
  const [least, most] = [Math.min, Math.max].map((end) => map.reduce((a, b) => end(a, b)));
  return map.map((value) => (value - least) / (most - least || 1));
}

function drawHeat(canvas, map) {
  const image = new ImageData(SIDE, SIDE);
  const pixels = new Uint32Array(image.data.buffer);
  map.forEach((value, i) => { pixels[i] = colours[Math.round(255 * value)]; });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Border of the region that holds this share of the pixels, the highest ones, as an SVG path along the edges of pixels.
// Each rule gives the share of its region: one way of drawing serves all rules.
function regionPath(map, share) {
  const count = Math.round(share * map.length);
  const threshold = count ? map.slice().sort()[map.length - count] : Infinity;
  const inside = (x, y) => x >= 0 && y >= 0 && x < SIDE && y < SIDE && map[y * SIDE + x] >= threshold;
  let path = "";
  for (let y = 0; y <= SIDE; y++) {
    for (let x = 0; x <= SIDE; x++) {
      if (inside(x, y) !== inside(x - 1, y)) path += `M${x} ${y}v1`;
      if (inside(x, y) !== inside(x, y - 1)) path += `M${x} ${y}h1`;
    }
  }
  return path;
}

// Item i as stored: base64 in an inert script element. The file may still be loading: an element is complete once
// another node follows it.
async function load(i) {
  while (!byId(`item${i}`)?.nextSibling && document.readyState === "loading") {
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  if (!byId(`item${i}`)) throw new Error(`item ${i} is not in this file`);
  const { heat, grid, illustration } = JSON.parse(byId(`item${i}`).textContent);
  const cosines = new Float32Array(bytesOf(heat).buffer);
  return { ...illustration, cosines, map: heatMap(cosines, ...grid) };
}

function show(picture, i, item) {
  picture.querySelector("img").src = item.frame;
  drawHeat(picture.querySelector("canvas"), item.map);
  const region = regionPath(item.map, data.areas[byId("rule").value][i]);
  for (const path of picture.querySelectorAll(".region")) path.setAttribute("d", region);
  for (const path of picture.querySelectorAll(".truth")) path.setAttribute("d", item.truth);
}

function tileOf(i) {
  const tile = byId("tile").content.firstElementChild.cloneNode(true);
  const [open, play] = tile.querySelectorAll("button");
  const [name, score, kind] = tile.querySelector(".text").children;
  tile.dataset.i = i;
  name.textContent = data.id[i];
  name.title = titleOf(i);
  score.textContent = iouText(i);
  if (iouOf(i) !== null) score.className = iouOf(i) >= 0.5 ? "iou hit" : "iou";
  kind.textContent = data.class[i];
  open.setAttribute("aria-label", `Open ${titleOf(i)}, ${iouText(i)}`);
  open.onclick = () => openItem(i);
  play.setAttribute("aria-label", `Play the sound of ${data.id[i]}`);
  load(i).then((item) => {
    show(tile.querySelector(".picture"), i, item);
    play.hidden = !item.sound;
    play.onclick = () => item.sound && togglePlay(i, item.sound);
  }).catch((error) => { kind.textContent = `cannot be shown: ${error.message}`; });
  return tile;
}

function select() {
  const keys = {
    worst: (i) => iouOf(i) ?? 2, // silent items last
    best: (i) => -(iouOf(i) ?? -1),
    class: (i) => data.class[i],
    small: (i) => data.share[i],
    large: (i) => -data.share[i],
    id: (i) => data.id[i],
  };
  const wanted = byId("search").value.trim().toLowerCase();
  const kind = byId("class").value;
  const key = keys[byId("order").value];
  order = [...data.id.keys()].filter((i) => (!kind || data.class[i] === kind) && data.id[i].toLowerCase().includes(wanted));
  order.sort((a, b) => (key(a) < key(b) ? -1 : Number(key(a) > key(b))));
  showPage(0);
}

function showPage(wanted) {
  page = Math.min(Math.max(wanted, 0), pages() - 1);
  player.pause();
  const start = page * PER_PAGE;
  const shown = order.slice(start, start + PER_PAGE);
  byId("tiles").replaceChildren(...shown.map(tileOf));
  const none = "No item fits. Clear the search, or choose another class.";
  const text = shown.length ? `${start + 1} to ${start + shown.length} of ${order.length}` : none;
  for (const place of document.querySelectorAll(".shown")) place.textContent = text;
  for (const button of document.querySelectorAll(".pager button")) {
    button.disabled = button.dataset.step < 0 ? page === 0 : page === pages() - 1;
  }
}

// Focuses a tile of this page, or the next one over its edge.
function focusTile(place) {
  if (place < 0 && page > 0) { showPage(page - 1); place = PER_PAGE - 1; }
  else if (place >= byId("tiles").children.length && page < pages() - 1) { showPage(page + 1); place = 0; }
  byId("tiles").children[place]?.querySelector(".open").focus();
}

// One player for all items: a sound that starts ends the one before.
function hand(i, sound) {
  if (playing !== i) player.src = sound;
  playing = i;
}

function togglePlay(i, sound) {
  hand(i, sound);
  return player.paused ? player.play() : player.pause();
}

function markPlaying() {
  for (const tile of byId("tiles").children) {
    const on = Number(tile.dataset.i) === playing && !player.paused;
    tile.querySelector(".play").setAttribute("aria-pressed", on);
    tile.querySelector(".play").textContent = on ? "❚❚" : "▶";
  }
}

async function openItem(i) {
  opened = i;
  const item = await load(i);
  if (opened !== i) return; // another item was asked for meanwhile
  byId("item-title").textContent = data.id[i];
  for (const picture of dialog.querySelectorAll(".picture")) show(picture, i, item);
  const facts = [
    ["Class", data.class[i] || "none"],
    ...Object.entries(data.ious).map(([rule, ious]) => [
      `IoU, rule ${rule}`, `${number(ious[i], 3)}; predicted: ${percent(data.areas[rule][i])} of the frame`]),
    [`Baselines, rule ${data.rule}`, Object.entries(data.others).map(([name, ious]) => `${name} ${number(ious[i], 2)}`).join(", ")],
    ["Ground truth", data.share[i] ? `${percent(data.share[i])} of the frame` : "none: the item has no valid box"],
    ["Cosine", `${[Math.min, Math.max].map((end) => end(...item.cosines).toFixed(3)).join(" to ")}; the heat map spreads this range over 0 to 1`],
    ["Place", `${order.indexOf(i) + 1} of ${order.length}`],
  ];
  const element = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  byId("item-facts").replaceChildren(...facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
  if (playing !== i) player.pause();
  player.hidden = !item.sound;
  if (item.sound) hand(i, item.sound);
  byId("before").disabled = i === order[0];
  byId("after").disabled = i === order.at(-1);
  if (!dialog.open) dialog.showModal();
}

function step(direction) {
  const next = order[order.indexOf(opened) + direction];
  if (next !== undefined) openItem(next);
}

byId("tiles").addEventListener("keydown", (event) => {
  const tiles = [...byId("tiles").children];
  const place = tiles.indexOf(event.target.closest("li"));
  const row = getComputedStyle(byId("tiles")).gridTemplateColumns.split(" ").length;
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row, Home: -place, End: tiles.length - 1 - place };
  if (event.key in steps) focusTile(place + steps[event.key]);
  else if (event.key === " " && event.target.matches(".open")) tiles[place].querySelector(".play").click();
  else return;
  event.preventDefault();
});
dialog.addEventListener("keydown", (event) => {
  const control = event.target.closest("input, button, audio");
  if (event.key === " " && !control) { if (!player.hidden) togglePlay(opened); }
  else if (event.key.match(/^Arrow(Left|Right)$/) && !control?.matches("input, audio")) step(event.key === "ArrowRight" ? 1 : -1);
  else return;
  event.preventDefault();
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  player.pause();
  const place = order.indexOf(opened);
  if (Math.floor(place / PER_PAGE) !== page) showPage(Math.floor(place / PER_PAGE));
  focusTile(place % PER_PAGE);
});
byId("before").onclick = () => step(-1);
byId("after").onclick = () => step(1);
byId("classes").addEventListener("click", (event) => {
  if (!event.target.matches("button")) return;
  byId("class").value = event.target.textContent;
  select();
  byId("gallery").scrollIntoView();
});
for (const name of ["play", "pause"]) player.addEventListener(name, markPlaying);
for (const id of ["order", "class", "rule"]) byId(id).addEventListener("change", select);
byId("search").addEventListener("input", select);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
for (const slider of document.querySelectorAll("input[type=range]")) {
  slider.addEventListener("input", () => {
    document.body.style.setProperty("--heat", slider.value / 100);
    for (const other of document.querySelectorAll("input[type=range]")) other.value = slider.value;
  });
}
for (const button of document.querySelectorAll(".pager button")) {
  button.addEventListener("click", () => showPage(page + Number(button.dataset.step)));
}
for (const figure of dialog.querySelectorAll("figure")) {
  figure.prepend(byId("tile").content.querySelector(".picture").cloneNode(true));
}
select();
