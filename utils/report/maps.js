// One item's picture: heat map and outlines, as the evaluation makes them.

const SIDE = 224; // of heat maps and ground truth

// Dark violet over red to pale yellow: the brighter, the louder, also without colours.
const RAMP = [[0, 20, 11, 52], [0.25, 101, 21, 110], [0.5, 187, 55, 84], [0.75, 249, 142, 9], [1, 252, 255, 164]];

function rampColour(value) {
  const upper = RAMP.find(([at], i) => i && value <= at) || RAMP[4];
  const lower = RAMP[RAMP.indexOf(upper) - 1];
  const part = (value - lower[0]) / (upper[0] - lower[0]);
  return [1, 2, 3].map((channel) => Math.round(lower[channel] + part * (upper[channel] - lower[channel])));
}
const RAMP_COLOURS = Array.from({ length: 256 }, (_, level) => rampColour(level / 255));

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

// Cosines of a coarse grid -> bilinear to SIDE x SIDE (centres of cells, edges held), then min-max; constant: 0.
function heatMap(cosines, height, width) {
  const places = (count) => Array.from({ length: SIDE }, (_, pixel) => {
    const at = Math.max(0, ((pixel + 0.5) * count) / SIDE - 0.5);
    const low = Math.min(Math.floor(at), count - 1);
    return [low, Math.min(low + 1, count - 1), at - low];
  });
  const rows = places(height);
  const columns = places(width);
  const map = new Float32Array(SIDE * SIDE);
  let least = Infinity;
  let most = -Infinity;
  rows.forEach(([top, bottom, down], y) => columns.forEach(([left, right, along], x) => {
    const above = cosines[top * width + left] * (1 - along) + cosines[top * width + right] * along;
    const below = cosines[bottom * width + left] * (1 - along) + cosines[bottom * width + right] * along;
    const value = above * (1 - down) + below * down;
    map[y * SIDE + x] = value;
    least = Math.min(least, map[y * SIDE + x]);
    most = Math.max(most, map[y * SIDE + x]);
  }));
  const range = most > least ? most - least : 1;
  return map.map((value) => (most > least ? (value - least) / range : 0));
}

// Coloured, and the more opaque the higher: where the map is low, the frame stays what it is.
function heatLayer(map) {
  const layer = make("canvas", { width: SIDE, height: SIDE });
  const pixels = new ImageData(SIDE, SIDE);
  for (let i = 0; i < map.length; i++) {
    const level = Math.round(255 * map[i]);
    pixels.data.set(RAMP_COLOURS[level], 4 * i);
    pixels.data[4 * i + 3] = 30 + Math.round(225 * map[i]);
  }
  layer.getContext("2d").putImageData(pixels, 0, 0);
  return layer;
}

// The border of the region that holds a share of the pixels, the highest ones, along the edges of pixels. Each rule
// says how large its region is: so one way of drawing serves all of them.
function regionPath(map, share) {
  const count = Math.round(share * map.length);
  const threshold = count ? map.slice().sort()[map.length - count] : Infinity;
  const path = new Path2D();
  const inside = (x, y) => x >= 0 && y >= 0 && x < SIDE && y < SIDE && map[y * SIDE + x] >= threshold;
  for (let y = 0; y <= SIDE; y++) {
    for (let x = 0; x <= SIDE; x++) {
      if (inside(x, y) !== inside(x - 1, y)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
      if (inside(x, y) !== inside(x, y - 1)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
    }
  }
  return path;
}

function polygonPath(polygons) {
  const path = new Path2D();
  for (const corners of polygons) {
    corners.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return path;
}

// What is stored of item i: base64 in an inert script element, read only when the item is shown.
async function stored(i) {
  for (;;) {
    const element = byId(`item${i}`);
    // What follows an element shows that the element is complete: the file may still be loading.
    if (element && (element.nextSibling || document.readyState !== "loading")) return JSON.parse(element.textContent);
    if (document.readyState !== "loading") throw new Error(`item ${i} is not in this file`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

async function openItem(i) {
  const { heat, grid, illustration: parts } = await stored(i);
  const frame = await createImageBitmap(new Blob([bytesOf(parts.frame)]));
  const cosines = new Float32Array(bytesOf(heat).buffer);
  const map = heatMap(cosines, ...grid);
  const sound = parts.sound && URL.createObjectURL(new Blob([bytesOf(parts.sound)], { type: data.soundType }));
  const range = [cosines.reduce((a, b) => Math.min(a, b)), cosines.reduce((a, b) => Math.max(a, b))];
  return { i, frame, map, heat: heatLayer(map), truth: polygonPath(parts.truth), sound, range };
}

function closeItem(item) {
  item.frame.close();
  if (item.sound) URL.revokeObjectURL(item.sound);
}

function strokeTwice(context, path, colour, dash) {
  const thin = context.canvas.width > 500 ? 0.5 : 0.9; // of a pixel of the map, where the picture is large
  context.setLineDash([]);
  context.lineWidth = 4.5 * thin;
  context.strokeStyle = "rgb(0 0 0 / 0.6)";
  context.stroke(path);
  context.setLineDash(dash.map((part) => part * thin));
  context.lineWidth = 2.25 * thin;
  context.strokeStyle = colour;
  context.stroke(path);
}

// view: {opacity 0..1, truth: bool, region: its share of the frame, or null}
function draw(canvas, item, view) {
  const context = canvas.getContext("2d");
  context.setTransform(canvas.width / SIDE, 0, 0, canvas.height / SIDE, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(item.frame, 0, 0, SIDE, SIDE);
  context.globalAlpha = view.opacity;
  context.drawImage(item.heat, 0, 0, SIDE, SIDE);
  context.globalAlpha = 1;
  context.lineCap = "butt";
  context.lineJoin = "round";
  if (view.region !== null) {
    if (item.share !== view.region) {
      item.share = view.region;
      item.region = regionPath(item.map, view.region);
    }
    strokeTwice(context, item.region, "#ffe100", []);
  }
  if (view.truth) strokeTwice(context, item.truth, "#00e5ff", [9, 5]);
}
