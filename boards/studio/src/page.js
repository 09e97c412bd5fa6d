// The studio: pictures that are dropped, picked or pasted, one result for each and for each choice of a model. The stage is drawn by
// viewer.js.
import {
  $, canvas, choices, clear, describe, download, maxSide, number, option, pixel, place, show, size, strength, view, zoom,
} from "/viewer.js";

/** Pictures of more pixels are shown smaller than they are: a browser holds four bytes for each. */
const MOST_PIXELS = 1.2e8;
const THUMB = [240, 160];
const items = [];
let known = null, current = null, drawn = 0, work = null, counter = 0;

// --- What there is to choose.
async function start() {
  place();
  try {
    const response = await fetch("/status.json", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    known = await response.json();
  } catch (error) {
    console.warn(error);
    state("failed", "no connection", "the program does not answer: is mcir-board studio still running?");
    return setTimeout(start, 2000);
  }
  const group = (name, options) => {
    const element = document.createElement("optgroup");
    element.label = name;
    element.append(...options);
    return options.length ? [element] : [];
  };
  const named = own => known.choices.filter(choice => choice.own === own)
    .map(choice => option(choice, `model=${encodeURIComponent(choice.name)}`));
  const factors = [...known.automatic].sort((a, b) => b - a);
  $("model").replaceChildren(
    ...group("Your own", named(true)),
    ...group("The picture decides", factors.map(factor => option({ name: "Automatic", upscale: factor }, `s=${factor}`))),
    ...group("Built in", named(false)));
  $("model").value = known.model ? `model=${encodeURIComponent(known.model)}` : "s=4";
  $("file").accept = ["image/*", ...known.formats.map(format => `.${format}`)].join(",");
  document.body.dataset.ready = "yes";
  describe();
  if (!current) state("empty", "no picture yet");
  next();
}

const chosen = () => known.choices.find(choice => `model=${encodeURIComponent(choice.name)}` === $("model").value);

/** The choice as a query. Without a strength that was asked for, a family enlarges as it is. */
const order = () => $("model").value + strength();

// A slider that is being moved asks for much; only what stands there in the end is made.
let settle = 0;
choices(() => chosen()?.strengths ?? [], () => {
  clearTimeout(settle);
  settle = setTimeout(() => {
    if (work && work.order !== order()) work.abort.abort();
    for (const item of items) item.failed = null;
    refresh();
    next();
  }, 200);
});

// --- Pictures come.
function add(files) {
  const came = [...files].filter(file => file.size || file.name);
  for (const file of came) {
    const item = { file, name: file.name || "pasted.png", number: ++counter, results: new Map(), failed: null, preview: null };
    items.push(item);
    item.element = entry(item);
    $("strip").append(item.element);
    preview(item);
  }
  if (came.length) pick(items[items.length - came.length]);
  next();
}

$("file").addEventListener("change", () => {
  add($("file").files);
  $("file").value = "";
});
$("add").addEventListener("click", () => $("file").click());
addEventListener("paste", event => {
  if (event.clipboardData?.files.length) add(event.clipboardData.files);
});
addEventListener("dragover", event => {
  event.preventDefault();
  document.body.classList.add("dragged");
});
addEventListener("dragleave", event => {
  if (!event.relatedTarget) document.body.classList.remove("dragged");
});
addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("dragged");
  add(event.dataTransfer.files);
});

function entry(item) {
  const element = document.createElement("li"), button = document.createElement("button"), away = document.createElement("button");
  const thumb = document.createElement("canvas"), name = document.createElement("span"), tells = document.createElement("span");
  [thumb.width, thumb.height] = THUMB;
  [button.type, away.type, button.className, away.className] = ["button", "button", "pick", "away"];
  [name.className, tells.className] = ["name", "tells"];
  name.textContent = button.title = item.name;
  away.textContent = "×";
  away.setAttribute("aria-label", `Remove ${item.name}`);
  button.append(thumb, name, tells);
  button.addEventListener("click", () => {
    // What has failed is tried again.
    item.failed = null;
    pick(item);
    next();
  });
  button.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const other = step && !event.shiftKey && items[items.indexOf(item) + step];
    if (other) other.element.querySelector(".pick").focus(), pick(other);
    if (event.key === "Delete") remove(item);
  });
  away.addEventListener("click", () => remove(item));
  element.append(button, away);
  return element;
}

function remove(item) {
  const at = items.indexOf(item);
  items.splice(at, 1);
  item.element.remove();
  if (work?.item === item) work.abort.abort();
  if (current === item) {
    current = null;
    const other = items[Math.min(at, items.length - 1)];
    if (other) pick(other);
  }
  refresh();
}

/** The original as the browser shows it, or, where it does not know the format, as the program decodes it. */
const picture = item => item.preview ??= createImageBitmap(item.file).then(bitmap => {
  bitmap.close();
  return item.file;
}).catch(async () => (await post("/original", item, new AbortController().signal)).blob);

async function preview(item) {
  try {
    const blob = await picture(item), whole = await createImageBitmap(blob);
    const [width, height] = [whole.width, whole.height];
    const part = Math.min(THUMB[0] / width, THUMB[1] / height, 1), thumb = item.element.querySelector("canvas");
    [thumb.width, thumb.height] = [Math.max(1, Math.round(width * part)), Math.max(1, Math.round(height * part))];
    const context = thumb.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(whole, 0, 0, thumb.width, thumb.height);
    whole.close();
  } catch (error) {
    console.warn(error);
  }
}

function pick(item) {
  if (current === item) return;
  current = item;
  zoom(1);
  if (work && !current.results.has(order()) && work.item !== current) work.abort.abort();
  refresh();
  next();
}

// --- Work: one picture at a time, the one that is shown first.
async function next() {
  if (work || !known) return;
  const asked = order();
  const open = item => item && !item.results.has(asked) && !item.failed;
  const item = open(current) ? current : items.find(open);
  if (!item) return refresh();
  work = { item, order: asked, abort: new AbortController(), job: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`.replace(".", "-"), progress: null };
  const mine = work;
  refresh();
  watch(mine);
  try {
    item.results.set(asked, await post(`/upscale?${asked}`, item, mine.abort.signal, mine.job));
  } catch (error) {
    if (!mine.abort.signal.aborted) {
      console.warn(error);
      item.failed = error;
    }
  }
  if (work === mine) work = null;
  refresh();
  next();
}

/** Sends a picture; the result with what is told about it. A full desk is asked again. */
async function post(path, item, signal, job) {
  if (item.file.size > known.limits.bytes) {
    throw new Error(`the file has ${number(item.file.size / 1e6, 0)} MB; the limit is ${number(known.limits.bytes / 1e6, 0)} MB`);
  }
  await item.file.slice(0, 1).arrayBuffer().catch(() => {
    throw new Error(`${item.name} cannot be read: is it a folder, or was it changed?`);
  });
  const query = [`name=${encodeURIComponent(item.name)}`, job && `job=${job}`].filter(Boolean).join("&");
  const url = `${path}${path.includes("?") ? "&" : "?"}${query}`;
  for (;;) {
    let response;
    try {
      response = await fetch(url, { method: "POST", body: item.file, headers: { "X-Mcir": "control" }, cache: "no-store", signal });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new Error("the program does not answer: is mcir-board studio still running?");
    }
    if (response.status === 503) {
      await new Promise(done => setTimeout(done, 1000 * (Number(response.headers.get("Retry-After")) || 2)));
      if (signal.aborted) throw new Error("given up");
      continue;
    }
    if (!response.ok) {
      const { error } = await response.json().catch(() => ({ error: { message: `status ${response.status}` } }));
      throw Object.assign(new Error(error.message), { help: error.help });
    }
    return { told: JSON.parse(response.headers.get("X-Mcir-Result")), blob: await response.blob() };
  }
}

async function watch(mine) {
  while (work === mine) {
    await new Promise(done => setTimeout(done, 150));
    try {
      const response = await fetch(`/progress?job=${mine.job}`, { cache: "no-store" });
      mine.progress = (await response.json()).progress;
    } catch (error) {
      console.warn(error);
    }
    if (work === mine) refresh();
  }
}

// --- What is seen.
function state(name, text, why) {
  document.body.dataset.state = name;
  $("state").textContent = text;
  $("message").hidden = !why;
  $("message").textContent = why || "";
}

function stage({ progress, item }) {
  if (!progress) return ["sending it", 0];
  const part = progress.of ? progress.done / progress.of : 0;
  switch (progress.stage) {
    case "receiving": return [`sending it, ${number(100 * part, 0)} %`, 0];
    case "waiting": return [progress.ahead ? `waiting, ${progress.ahead} before it` : "waiting", 0];
    case "reading": return ["decoding", 0];
    case "enlarging": return [`enlarging, ${number(100 * part, 0)} %`, part];
    default: return [`fetching ${item.name}`, 1];
  }
}

function refresh() {
  const asked = known ? order() : "";
  for (const item of items) {
    const result = item.results.get(asked), tells = item.element.querySelector(".tells"), pick = item.element.querySelector(".pick");
    const [name, text] = result ? ["done", `${result.told.width}×${result.told.height}`]
      : item.failed ? ["failed", "failed"] : work?.item === item ? ["busy", stage(work)[0]] : ["waiting", "waiting"];
    item.element.dataset.state = name;
    tells.textContent = text;
    item.failed ? pick.title = item.failed.message : pick.title = item.name;
    pick.setAttribute("aria-current", item === current);
  }
  const done = items.filter(item => item.results.has(asked)).length;
  $("save-all").hidden = items.length < 2;
  $("save-all").disabled = !done;
  $("stage").hidden = !current;
  $("drop").hidden = Boolean(current);
  const result = current?.results.get(asked);
  $("save").disabled = !result;
  const busy = Boolean(work && work.item === current);
  $("bar").hidden = !busy;
  if (busy) $("bar").value = stage(work)[1];
  if (!current) {
    delete document.body.dataset.result;
    $("about").textContent = $("why").textContent = "";
    if (known) state("empty", "no picture yet");
    return;
  }
  if (result) {
    state("done", `done in ${number(result.told.engine_ms, 0)} ms`);
    tell(result.told);
  } else if (current.failed) {
    state("failed", "failed", [current.failed.message, current.failed.help].filter(Boolean).join(" – "));
    $("why").textContent = "";
  } else {
    state("busy", busy ? stage(work)[0] : "waiting");
    $("why").textContent = "";
  }
  paint(current, result);
}

function tell({ model, precision, upscale, width, height, notes, why }) {
  const sizes = `${width / upscale}×${height / upscale} → ${width}×${height}`;
  $("about").textContent = [current.name, `${model} ${precision}`, sizes].join("  ·  ");
  $("right").textContent = upscale > 1 ? `super-resolved ×${upscale}` : "restored";
  const lines = notes.map(note => `${current.name} ${note}.`);
  if (why) lines.unshift(`It is a JPEG of quality ${why.jpeg_quality}, whose damage shows when it is enlarged: cleaned up with ${why.camera}. Choose ${why.clean} to enlarge it as it is.`);
  if (current.shrunk) lines.push(`It is shown at ${number(100 * current.shrunk, 0)} % of its size, and 1:1 means that: all of it is too much for this browser. What is saved is whole.`);
  $("why").textContent = lines.join(" ");
}

/** A bitmap that the stage can show, and how much smaller it is than the picture. */
async function bitmap(blob, told) {
  const { width, height } = told ?? {};
  const part = width ? Math.min(1, maxSide / Math.max(width, height), Math.sqrt(MOST_PIXELS / (width * height))) : 1;
  const straight = { premultiplyAlpha: "none" };
  const smaller = part < 1 ? { resizeWidth: Math.floor(width * part), resizeHeight: Math.floor(height * part), resizeQuality: "high" } : {};
  let image = await createImageBitmap(blob, { ...straight, ...smaller });
  const over = maxSide / Math.max(image.width, image.height);
  if (over < 1) {
    const whole = image;
    image = await createImageBitmap(whole, { ...straight, resizeWidth: Math.floor(whole.width * over), resizeHeight: Math.floor(whole.height * over), resizeQuality: "high" });
    whole.close();
  }
  return [image, part];
}

// What is painted, and what was asked for last: decoding takes its time, and only the newest counts.
let painted = "", painting = 0;
async function paint(item, result) {
  const wanted = `${item.number} ${result ? order() : ""}`;
  if (wanted === painted) return;
  painted = wanted;
  const mine = ++painting;
  try {
    const [small] = await bitmap(await picture(item));
    const [large, part] = result ? await bitmap(result.blob, result.told) : [small, 1];
    if (mine !== painting) return [small, large].forEach(image => image.close());
    item.shrunk = result && part < 1 ? part : 0;
    show([small, large]);
    if (result) {
      document.body.dataset.result = "yes";
      tell(result.told);
    } else {
      delete document.body.dataset.result;
      $("about").textContent = `${item.name}  ·  ${small.width}×${small.height}`;
    }
    drawn += 1;
    document.body.dataset.drawn = drawn;
  } catch (error) {
    if (mine !== painting) return;
    console.warn(error);
    delete document.body.dataset.result;
    clear();
    $("about").textContent = item.name;
    if (result) state("done", "done", "the result is too large for this browser to show; Save writes it");
  }
}

// --- Results go.
const target = (item, { upscale }) => `${item.name.replace(/\.[^.]*$/, "")}${upscale > 1 ? `-x${upscale}` : "-restored"}.png`;
function save(item) {
  const result = item.results.get(order());
  if (result) download(result.blob, target(item, result.told));
}
$("save").addEventListener("click", () => current && save(current));
$("save-all").addEventListener("click", async () => {
  for (const item of [...items]) {
    save(item);
    // Browsers drop downloads that come at once.
    await new Promise(done => setTimeout(done, 300));
  }
});

// What tests look at.
window.mcir = { view, pixel, size, add, items, canvas, result: () => current?.results.get(order()) };
start();
