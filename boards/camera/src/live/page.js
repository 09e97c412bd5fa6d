// The live page: frames as they come, numbers, choices, recordings. The stage is drawn by viewer.js.
import {
  $, canvas, choices, describe, download, draw, number, option, pixel, place, show, showing, size, strength, view,
} from "/viewer.js";

const STAGES = ["capture", "queue", "convert", "infer", "encode"];
let frozen = false, frames = 0;

// --- Frames. One request is always under way, so that the next frame travels while this one is drawn.
async function ask(after) {
  const abort = new AbortController(), timer = setTimeout(() => abort.abort(), 15000);
  try {
    const response = await fetch(`/frame?after=${after}`, { cache: "no-store", signal: abort.signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const bytes = await response.arrayBuffer(), numbers = new DataView(bytes);
    let at = 12;
    const [text, small, large] = [0, 4, 8].map(i => {
      const part = new Uint8Array(bytes, at, numbers.getUint32(i, true));
      at += part.length;
      return part;
    });
    return { ...JSON.parse(new TextDecoder().decode(text)), small, large };
  } finally {
    clearTimeout(timer);
  }
}

const decode = bytes => createImageBitmap(new Blob([bytes], { type: "image/jpeg" }), { colorSpaceConversion: "none" });
const sleep = ms => new Promise(done => setTimeout(done, ms));
const visible = () => new Promise(done => {
  if (!document.hidden) return done();
  document.addEventListener("visibilitychange", done, { once: true });
});

async function run() {
  let last = 0, next = ask(0);
  for (;;) {
    try {
      const answer = await next;
      if (answer.frame) last = answer.frame.id;
      // A page that nobody looks at costs the board nothing.
      await visible();
      next = answer.status.state === "ended" ? sleep(1000).then(() => ask(last)) : ask(last);
      next.catch(() => {});
      tell(answer);
      if (answer.frame && !frozen) await showFrame(answer);
    } catch (error) {
      console.warn(error);
      state("offline", "no connection", showing() ? "lost the connection to the board, trying again" : "the board does not answer, trying again");
      await sleep(1000);
      next = ask(last);
    }
  }
}

async function showFrame(answer) {
  const images = await Promise.all([decode(answer.small), decode(answer.large)]);
  const [small, large] = images;
  show(images);
  frames += 1;
  document.body.dataset.frames = frames;
  $("about").title = `${small.width}×${small.height} to ${large.width}×${large.height}`;
}

// --- Numbers.
const rates = [];

function state(name, text, why) {
  document.body.dataset.state = name;
  $("state").textContent = text;
  $("message").hidden = Boolean(showing()) && (name === "running" || name === "ended");
  $("message").textContent = why || text;
}

const NAMES = { waiting: "waiting for the first frame", running: "live", searching: "looking for the camera", ended: "ended" };

function tell({ status, frame }) {
  const name = status.state;
  state(frame || showing() || name !== "running" ? name : "waiting",
    frozen && name === "running" ? "frozen" : NAMES[name] || name,
    name === "searching" ? `looking for the camera: ${status.problem}` : undefined);
  const sizes = frame ? `${frame.width}×${frame.height} → ${frame.width * status.upscale}×${frame.height * status.upscale}` : "";
  const mode = status.mode === "y" ? ", brightness only" : "";
  if (frame || !$("about").textContent) {
    $("about").textContent = [`${status.model} ${status.precision}${mode}`, status.gpu, sizes, status.source].filter(Boolean).join("  ·  ");
  }
  $("right").textContent = `super-resolved ×${status.upscale}`;
  offer(status.control);
  $("fps").textContent = number(status.fps, 1);
  $("dropped").textContent = number(status.dropped, 0);
  const extra = [`${number(status.captured, 0)} came`, `${number(status.output, 0)} left`];
  if (status.broken) extra.push(`${number(status.broken, 0)} damaged`);
  $("counts").textContent = extra.join(", ");
  const heat = status.temperature_c;
  $("heat").textContent = heat == null ? "–" : number(heat, 0);
  $("heat").parentElement.classList.toggle("warn", heat >= 75);
  $("health").textContent = heat == null ? "it does not tell" : status.reconnects ? `camera came back ${status.reconnects}×` : heat >= 80 ? "it slows down soon" : "";
  if (frame) times(frame.times_ms);
  const now = performance.now();
  if (!rates.length || now - rates[rates.length - 1].at > 400) {
    rates.push({ at: now, fps: status.fps });
    if (rates.length > 60) rates.shift();
    const top = Math.max(1, ...rates.map(r => r.fps)) * 1.1;
    const points = rates.map((r, i) => `${120 * i / Math.max(1, rates.length - 1)},${27 - 26 * r.fps / top}`);
    $("spark").firstElementChild.setAttribute("points", points.join(" "));
  }
}

// --- Choices. The board says what may be chosen and what is; what is being chosen just now is not overwritten.
let offered = "", known = [], choosing = 0;
function offer(control) {
  $("choice").hidden = !control;
  if (!control) return;
  const names = JSON.stringify(control.choices);
  if (names !== offered) {
    offered = names;
    known = control.choices;
    $("model").replaceChildren(...known.map(choice => option(choice)));
  }
  if (choosing) return;
  $("model").value = control.model;
  if (control.strength != null) $("strength").value = control.strength;
  describe();
}

// One request at a time, and then what stands there by now: they could overtake each other.
let again = false;
async function choose() {
  again = true;
  if (choosing) return;
  choosing = 1;
  try {
    while (again) await send();
  } catch (error) {
    again = false;
    console.warn(error);
  } finally {
    choosing = 0;
  }
}

async function send() {
  again = false;
  const response = await fetch(`/control?model=${encodeURIComponent($("model").value)}${strength()}`,
    { method: "POST", headers: { "X-Mcir": "control" }, cache: "no-store" });
  if (!response.ok) throw new Error(await response.text());
}
choices(() => known.find(choice => choice.name === $("model").value)?.strengths ?? [], choose);

// Numbers that change thirty times a second cannot be read: they follow slowly.
const smooth = {};
function times(found) {
  for (const name of [...STAGES, "total"]) {
    smooth[name] = smooth[name] === undefined ? found[name] : smooth[name] + 0.15 * (found[name] - smooth[name]);
  }
  $("total").textContent = number(smooth.total, smooth.total < 10 ? 1 : 0);
  for (const name of STAGES) {
    parts[name].bar.style.flexGrow = Math.max(smooth[name], 0.001);
    parts[name].value.textContent = number(smooth[name], 1);
  }
}

const parts = Object.fromEntries(STAGES.map(name => {
  const bar = document.createElement("span"), item = document.createElement("li");
  const mark = document.createElement("i"), value = document.createElement("b");
  bar.style.background = mark.style.background = `var(--${name})`;
  bar.style.flexGrow = 0.001;
  value.textContent = "–";
  item.append(mark, `${name} `, value);
  $("stages").append(bar);
  $("legend").append(item);
  return [name, { bar, value }];
}));

// --- Hands.
$("freeze").addEventListener("click", () => {
  frozen = !frozen;
  $("freeze").setAttribute("aria-pressed", frozen);
});
const stamp = () => new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-");

// What is seen, with border, zoom and choices, as the browser encodes it: nothing of it costs the board anything.
let recorder = null, recorded = null, bytes = 0;
$("record").hidden = !(window.MediaRecorder && canvas.captureStream);
$("record").addEventListener("click", () => {
  if (recorder) return recorder.stop();
  if (!showing()) return;
  const kind = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"].find(kind => MediaRecorder.isTypeSupported(kind));
  if (!kind) return;
  const pieces = [];
  bytes = 0;
  recorder = new MediaRecorder(canvas.captureStream(), { mimeType: kind, videoBitsPerSecond: 8e6 });
  recorder.addEventListener("dataavailable", event => {
    pieces.push(event.data);
    bytes += event.data.size;
  });
  recorder.addEventListener("stop", () => {
    recorder = null;
    recorded = new Blob(pieces, { type: kind });
    $("record").setAttribute("aria-pressed", false);
    $("record").textContent = "Record";
    if (bytes) download(recorded, `super-resolved-${stamp()}.${kind.includes("mp4") ? "mp4" : "webm"}`);
  });
  recorder.start(1000);
  $("record").setAttribute("aria-pressed", true);
  $("record").textContent = "Stop";
});

$("save").addEventListener("click", () => {
  if (!showing()) return;
  draw();
  canvas.toBlob(blob => download(blob, `super-resolved-${stamp()}.png`), "image/png");
});

// What tests look at.
window.mcir = { view, pixel, size, recorded: () => recorded, recording: () => bytes };
place();
run();
