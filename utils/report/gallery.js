// The gallery: which items, on which page; their tiles, the opened item, the sound. Only what is shown is decoded.

const PER_PAGE = 24;
const player = byId("player");
const dialog = byId("item");
const state = { order: [], page: 0, chosen: 0, tiles: new Map(), opened: null, wanted: null, playing: null, turn: 0 };
const total = items.id.length;
const rules = Object.keys(items.ious);

const compare = (column, sign = 1) => (a, b) => sign * (column[a] < column[b] ? -1 : column[a] > column[b] ? 1 : 0) || a - b;
const ORDERS = {
  worst: (a, b) => (iouOf(a) ?? 2) - (iouOf(b) ?? 2) || a - b, // where nothing sounds, last
  best: (a, b) => (iouOf(b) ?? -1) - (iouOf(a) ?? -1) || a - b,
  class: compare(items.class),
  small: compare(items.share),
  large: compare(items.share, -1),
  id: compare(items.id),
};

const areaOf = (i) => items.areas[byId("rule").value][i];
const viewOf = (i) => ({
  opacity: byId("opacity").value / 100,
  truth: byId("show-gt").checked,
  region: byId("show-region").checked ? areaOf(i) : null,
});
const iouOf = (i) => items.ious[byId("rule").value][i];

function select() {
  const wanted = byId("search").value.trim().toLowerCase();
  const name = byId("class").value;
  state.order = [];
  for (let i = 0; i < total; i++) {
    if (name && items.class[i] !== name) continue;
    if (wanted && !items.id[i].toLowerCase().includes(wanted)) continue;
    state.order.push(i);
  }
  state.order.sort(ORDERS[byId("order").value]);
  showPage(0);
}

function showClass(name) {
  byId("class").value = name;
  select();
  byId("gallery").scrollIntoView();
}

const pages = () => Math.max(1, Math.ceil(state.order.length / PER_PAGE));

function showPage(page, chosen = 0) {
  state.page = Math.min(Math.max(page, 0), pages() - 1);
  state.turn += 1;
  player.pause();
  state.playing = null; // its address goes with the tile
  for (const tile of state.tiles.values()) if (tile.item) closeItem(tile.item);
  state.tiles.clear();
  const start = state.page * PER_PAGE;
  const shown = state.order.slice(start, start + PER_PAGE);
  byId("tiles").replaceChildren(...shown.map(tileOf));
  if (!shown.length) byId("tiles").append(make("li", { class: "none" }, "No item fits. Clear the search, or choose another class."));
  const text = shown.length ? `${start + 1} to ${start + shown.length} of ${state.order.length}` : "0 items";
  for (const place of document.querySelectorAll(".shown")) place.textContent = text;
  for (const button of document.querySelectorAll(".pager button")) {
    button.disabled = button.dataset.step < 0 ? state.page === 0 : state.page === pages() - 1;
  }
  choose(Math.min(chosen, Math.max(shown.length - 1, 0)), false);
}

const number = (value, digits) => (value === null ? "none" : value.toFixed(digits));
const titleOf = (i) => (items.class[i] ? `${items.id[i]}, ${items.class[i]}` : items.id[i]);

function iouText(i) {
  const iou = iouOf(i);
  if (iou === null) return make("span", { class: "silent" }, "nothing sounds");
  return make("span", { class: iou >= 0.5 ? "iou hit" : "iou" }, `IoU ${iou.toFixed(2)}${iou >= 0.5 ? " ✓" : ""}`);
}

function tileOf(i) {
  const canvas = make("canvas", { width: 448, height: 448, "aria-hidden": "true" });
  const open = make("button", { type: "button", class: "open", tabindex: "-1",
    "aria-label": `Open ${titleOf(i)}, ${iouText(i).textContent}`, "aria-keyshortcuts": "Enter Space" }, canvas);
  const score = make("div", {}, make("span", { class: "name", title: titleOf(i) }, items.id[i]), iouText(i));
  if (items.class[i]) score.append(make("span", { class: "name" }, make("small", {}, items.class[i])));
  const under = make("div", { class: "under" }, score);
  const play = make("button", { type: "button", class: "play", "aria-pressed": "false",
    "aria-label": `Play the sound of ${items.id[i]}`, hidden: "" }, "▶");
  play.addEventListener("click", () => togglePlay(i));
  under.append(play);
  open.addEventListener("click", () => openDialog(i));
  const tile = { canvas, open, play };
  state.tiles.set(i, tile);
  const turn = state.turn;
  openItem(i).then((item) => {
    if (turn !== state.turn) return closeItem(item); // the page was turned meanwhile
    tile.item = item;
    play.hidden = !item.sound;
    return draw(canvas, item, viewOf(i));
  }).catch((error) => under.append(make("small", {}, `cannot be shown: ${error.message}`)));
  return make("li", {}, open, under);
}

function redraw() {
  for (const [i, tile] of state.tiles) if (tile.item) draw(tile.canvas, tile.item, viewOf(i));
  if (state.opened) draw(byId("heated"), state.opened, viewOf(state.opened.i));
}

// The tile that the keyboard is at: the only one in the tab order.
function choose(place, focus = true) {
  const tiles = [...state.tiles.values()];
  if (!tiles.length) return;
  tiles.forEach((tile, i) => tile.open.setAttribute("tabindex", i === place ? "0" : "-1"));
  state.chosen = place;
  if (focus) tiles[place].open.focus();
}

const perRow = () => getComputedStyle(byId("tiles")).gridTemplateColumns.split(" ").length;

function move(step) {
  const count = state.tiles.size;
  const place = state.chosen + step;
  if (place >= 0 && place < count) return choose(place);
  const page = state.page + Math.sign(step);
  if (page < 0 || page >= pages()) return undefined;
  showPage(page, step > 0 ? 0 : PER_PAGE - 1);
  return choose(state.chosen);
}

byId("tiles").addEventListener("focusin", (event) => {
  const place = [...state.tiles.values()].findIndex((tile) => tile.open === event.target);
  if (place >= 0) choose(place, false);
});
byId("tiles").addEventListener("keydown", (event) => {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow(), ArrowUp: -perRow() };
  if (steps[event.key]) move(steps[event.key]);
  else if (event.key === "Home") choose(0);
  else if (event.key === "End") choose(state.tiles.size - 1);
  else if (event.key === " " && event.target.classList.contains("open")) togglePlay([...state.tiles.keys()][state.chosen]);
  else return;
  event.preventDefault();
});

// One player for all: a sound that starts ends the one before.
async function togglePlay(i) {
  const tile = state.tiles.get(i);
  const item = (tile && tile.item) || (state.opened && state.opened.i === i ? state.opened : null);
  if (!item || !item.sound) return;
  if (state.playing === i && !player.paused) { player.pause(); return; }
  if (state.playing !== i) { player.src = item.sound; state.playing = i; }
  await player.play();
}

function markPlaying() {
  for (const [i, tile] of state.tiles) {
    const on = state.playing === i && !player.paused && !player.ended;
    tile.play.setAttribute("aria-pressed", String(on));
    tile.play.textContent = on ? "❚❚" : "▶";
  }
}
for (const name of ["play", "pause", "ended", "emptied"]) player.addEventListener(name, markPlaying);

async function openDialog(i) {
  state.wanted = i;
  let item;
  try {
    item = await openItem(i);
  } catch (error) {
    if (state.wanted === i) byId("item-title").textContent = `${items.id[i]} cannot be shown: ${error.message}`;
    return;
  }
  if (state.wanted !== i) { closeItem(item); return; } // the next one was asked for meanwhile
  if (state.opened) closeItem(state.opened);
  state.opened = item;
  byId("item-title").textContent = items.id[i];
  draw(byId("plain"), item, { opacity: 0, truth: true, region: null });
  draw(byId("heated"), item, viewOf(i));
  byId("plain").setAttribute("aria-label", `Frame of ${titleOf(i)} with the ground truth`);
  byId("heated").setAttribute("aria-label", `Heat map of ${titleOf(i)}, ${iouText(i).textContent}`);
  byId("opacity-here").value = byId("opacity").value;
  fillFacts(byId("item-facts"), [
    ...(items.class[i] ? [["Class", items.class[i]]] : []),
    ...rules.map((rule) => [`IoU, rule ${rule}`, `${number(items.ious[rule][i], 3)}; predicted: ${percent(items.areas[rule][i])} of the frame`]),
    [`Without a model, rule ${data.rule}`, Object.entries(items.others).map(([name, ious]) => `${name} ${number(ious[i], 2)}`).join(", ")],
    ["Ground truth", items.share[i] ? `${percent(items.share[i])} of the frame` : "none: the item has no valid box"],
    ["Cosine", `${item.range[0].toFixed(3)} to ${item.range[1].toFixed(3)}; the heat map spreads this range over 0 to 1`],
    ["Place", `${state.order.indexOf(i) + 1} of ${state.order.length}`],
  ]);
  if (state.playing !== i) {
    player.pause();
    if (item.sound) player.src = item.sound;
    else player.removeAttribute("src");
    state.playing = item.sound ? i : null;
  }
  player.hidden = !item.sound;
  byId("silent").hidden = Boolean(item.sound);
  byId("before").disabled = i === state.order[0];
  byId("after").disabled = i === state.order.at(-1);
  if (!dialog.open) dialog.showModal();
}

function step(direction) {
  const next = state.order[state.order.indexOf(state.opened.i) + direction];
  if (next !== undefined) openDialog(next);
}

dialog.addEventListener("keydown", (event) => {
  const control = event.target.closest("input, button, audio");
  if (event.key === "ArrowRight" && !(control && control.matches("input, audio"))) step(1);
  else if (event.key === "ArrowLeft" && !(control && control.matches("input, audio"))) step(-1);
  else if (event.key === " " && !control) togglePlay(state.opened.i);
  else return;
  event.preventDefault();
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  player.pause();
  const place = state.order.indexOf(state.opened.i);
  if (Math.floor(place / PER_PAGE) !== state.page) showPage(Math.floor(place / PER_PAGE));
  choose(place % PER_PAGE);
});
byId("close").addEventListener("click", () => dialog.close());
byId("before").addEventListener("click", () => step(-1));
byId("after").addEventListener("click", () => step(1));
byId("opacity-here").addEventListener("input", (event) => { byId("opacity").value = event.target.value; redraw(); });

function start() {
  fillHead();
  for (const name of [...new Set(items.class)].filter(Boolean).sort()) byId("class").append(make("option", { value: name }, name));
  for (const rule of rules) byId("rule").append(make("option", { value: rule }, rule));
  byId("class-label").hidden = byId("class").options.length < 3;
  byId("rule-label").hidden = rules.length < 2;
  const ramp = [0, 64, 128, 191, 255].map((level) => `rgb(${RAMP_COLOURS[level].join(" ")})`);
  document.querySelector(".ramp").style.background = `linear-gradient(90deg, ${ramp.join(", ")})`;
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["order", "class", "rule"]) byId(id).addEventListener("change", select);
  byId("search").addEventListener("input", select);
  for (const id of ["opacity", "show-gt", "show-region"]) byId(id).addEventListener("input", redraw);
  for (const button of document.querySelectorAll(".pager button")) {
    button.addEventListener("click", () => showPage(state.page + Number(button.dataset.step)));
  }
  select();
}
start();
