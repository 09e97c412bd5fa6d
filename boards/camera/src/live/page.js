
"use strict";
(() => {
const $ = id => document.getElementById(id);
const stage = $("stage"), canvas = $("view"), split = $("split");
const STAGES = ["capture", "queue", "convert", "infer", "encode"];
const view = { split: 0.5, zoom: 1, x: 0.5, y: 0.5, exact: false };
let shown = null, frozen = false, frames = 0;

// --- Drawing. The camera's picture is interpolated here, by the kernel that the board would use (a = -0.5).
const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
uniform sampler2D small, large;
uniform vec4 area;
uniform float border;
in vec2 at;
out vec4 color;
float weight(float x) {
  x = abs(x);
  return x < 1.0 ? (1.5 * x - 2.5) * x * x + 1.0 : x < 2.0 ? ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 : 0.0;
}
vec3 bicubic(vec2 p) {
  ivec2 size = textureSize(small, 0);
  vec2 centre = p * vec2(size) - 0.5, base = floor(centre), part = centre - base;
  vec3 sum = vec3(0.0);
  for (int j = -1; j <= 2; j++) {
    for (int i = -1; i <= 2; i++) {
      ivec2 t = clamp(ivec2(base) + ivec2(i, j), ivec2(0), size - 1);
      sum += weight(float(i) - part.x) * weight(float(j) - part.y) * texelFetch(small, t, 0).rgb;
    }
  }
  return clamp(sum, 0.0, 1.0);
}
void main() {
  vec2 p = area.xy + at * area.zw;
  color = vec4(at.x < border ? bicubic(p) : texture(large, p).rgb, 1.0);
}`;
const VERTEX = `#version 300 es
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = vec2(corner.x, 1.0 - corner.y);
  gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}`;

function webgl() {
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: false });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  const textures = ["small", "large"].map((name, unit) => {
    gl.uniform1i(gl.getUniformLocation(program, name), unit);
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, unit ? gl.LINEAR : gl.NEAREST);
    return texture;
  });
  const area = gl.getUniformLocation(program, "area"), border = gl.getUniformLocation(program, "border");
  return {
    load(images) {
      images.forEach((image, unit) => {
        gl.activeTexture(gl.TEXTURE0 + unit);
        gl.bindTexture(gl.TEXTURE_2D, textures[unit]);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, image);
      });
    },
    draw(window, at) {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.uniform4f(area, ...window);
      gl.uniform1f(border, at);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    },
    pixel(x, y) {
      const rgba = new Uint8Array(4);
      draw();
      gl.readPixels(x, canvas.height - 1 - y, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
      return [...rgba.slice(0, 3)];
    },
  };
}

// Without WebGL the browser's own smoothing has to do.
function flat() {
  const context = canvas.getContext("2d", { alpha: false });
  let images = [];
  $("left").textContent = "browser's interpolation";
  return {
    load(loaded) { images = loaded; },
    draw([x, y, w, h], at) {
      context.imageSmoothingQuality = "high";
      for (const [image, from, to] of [[images[1], at, 1], [images[0], 0, at]]) {
        if (to <= from) continue;
        const [left, width] = [(x + w * from) * image.width, w * (to - from) * image.width];
        context.drawImage(image, left, y * image.height, width, h * image.height,
          from * canvas.width, 0, (to - from) * canvas.width, canvas.height);
      }
    },
    pixel(x, y) {
      draw();
      return [...context.getImageData(x, y, 1, 1).data.slice(0, 3)];
    },
  };
}

const painter = webgl() || flat();
canvas.addEventListener("webglcontextlost", () => location.reload());

/** The window of the picture that is drawn: corner and size, as parts of the whole. */
function area() {
  const sides = view.exact ? [canvas.width / shown[1].width, canvas.height / shown[1].height] : [1 / view.zoom, 1 / view.zoom];
  const corners = ["x", "y"].map((axis, i) => {
    const half = sides[i] / 2;
    view[axis] = Math.min(1 - half, Math.max(half, view[axis]));
    if (!view.exact) return view[axis] - half;
    // On whole pixels: none is a mixture of its neighbours.
    const length = i ? shown[1].height : shown[1].width;
    return Math.round((view[axis] - half) * length) / length;
  });
  return [...corners, ...sides];
}

function draw() {
  if (shown) painter.draw(area(), view.split);
}

/** As many pixels as the picture has, or, one to one, as the stage has on this screen. */
function fit() {
  if (!shown) return;
  const { width, height } = shown[1];
  stage.style.setProperty("--ratio", width / height);
  let size = [width, height];
  stage.style.maxWidth = view.exact ? `${width / devicePixelRatio}px` : "";
  stage.style.minWidth = view.exact ? "0" : "";
  if (view.exact) {
    const box = stage.getBoundingClientRect();
    size = [Math.min(width, Math.round(box.width * devicePixelRatio)), Math.min(height, Math.round(box.height * devicePixelRatio))];
  }
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
}
addEventListener("resize", () => { fit(); draw(); });

function place() {
  split.style.left = `${view.split * 100}%`;
  split.setAttribute("aria-valuenow", Math.round(view.split * 100));
  $("left").classList.toggle("away", view.split < 0.12);
  $("right").classList.toggle("away", view.split > 0.88);
  draw();
}

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
      if (answer.frame && !frozen) await show(answer);
    } catch (error) {
      console.warn(error);
      state("offline", "no connection", shown ? "lost the connection to the board, trying again" : "the board does not answer, trying again");
      await sleep(1000);
      next = ask(last);
    }
  }
}

async function show(answer) {
  const images = await Promise.all([decode(answer.small), decode(answer.large)]);
  const [small, large] = images;
  painter.load(images);
  if (shown) shown.forEach(image => image.close());
  shown = images;
  fit();
  draw();
  frames += 1;
  document.body.dataset.frames = frames;
  $("about").title = `${small.width}×${small.height} to ${large.width}×${large.height}`;
}

// --- Numbers.
const rates = [];
const number = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function state(name, text, why) {
  document.body.dataset.state = name;
  $("state").textContent = text;
  $("message").hidden = Boolean(shown) && name === "running" || name === "ended" && Boolean(shown);
  $("message").textContent = why || text;
}

const NAMES = { waiting: "waiting for the first frame", running: "live", searching: "looking for the camera", ended: "ended" };

function tell({ status, frame }) {
  const name = status.state;
  state(frame || shown || name !== "running" ? name : "waiting",
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
let offered = "", choosing = 0;
function offer(control) {
  $("choice").hidden = !control;
  if (!control) return;
  const names = JSON.stringify(control.choices);
  if (names !== offered) {
    offered = names;
    $("model").replaceChildren(...control.choices.map(choice => new Option(`${choice.name}  ×${choice.upscale}`, choice.name)));
    $("model").choices = control.choices;
  }
  if (choosing) return;
  $("model").value = control.model;
  if (control.strength != null) $("strength").value = control.strength;
  describe();
}

function describe() {
  const choice = ($("model").choices || []).find(choice => choice.name === $("model").value);
  $("cleaning").hidden = !choice || !choice.strengths.length;
  $("percent").textContent = `${$("strength").value} %`;
}

// One request at a time, and then what stands there by now: they could overtake each other.
let again = false;
async function choose() {
  describe();
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
  const strength = $("cleaning").hidden ? "" : `&strength=${$("strength").value}`;
  const response = await fetch(`/control?model=${encodeURIComponent($("model").value)}${strength}`,
    { method: "POST", headers: { "X-Mcir": "control" }, cache: "no-store" });
  if (!response.ok) throw new Error(await response.text());
}
$("model").addEventListener("change", choose);
$("strength").addEventListener("input", choose);
$("choice").addEventListener("submit", event => event.preventDefault());

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

// --- Hands. Not zoomed, a drag anywhere moves the border; zoomed, it moves the picture.
let drag = null;
const fraction = event => {
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};

stage.addEventListener("pointerdown", event => {
  if (event.button) return;
  const [x, y] = fraction(event);
  const whole = view.exact ? shown && canvas.width === shown[1].width && canvas.height === shown[1].height : view.zoom === 1;
  drag = { border: whole || split.contains(event.target), x, y, from: { ...view } };
  stage.setPointerCapture(event.pointerId);
  stage.classList.toggle("dragging", !drag.border);
  if (drag.border) move(x);
});
stage.addEventListener("pointermove", event => {
  if (!drag) return;
  const [x, y] = fraction(event);
  if (drag.border) return move(x);
  const [, , width, height] = area();
  view.x = drag.from.x - (x - drag.x) * width;
  view.y = drag.from.y - (y - drag.y) * height;
  draw();
});
for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, () => {
    drag = null;
    stage.classList.remove("dragging");
  });
}
stage.addEventListener("wheel", event => {
  event.preventDefault();
  const [x, y] = fraction(event);
  zoom(view.zoom * Math.exp(-event.deltaY / 400), x, y);
}, { passive: false });
stage.addEventListener("dblclick", event => zoom(view.zoom > 1 ? 1 : 4, ...fraction(event)));

function move(x) {
  view.split = Math.min(1, Math.max(0, x));
  place();
}

/** Zooms so that what is at (x, y) stays there. */
function zoom(to, x = 0.5, y = 0.5) {
  view.exact = false;
  to = Math.min(16, Math.max(1, to));
  if (to < 1.02) to = 1;
  const change = 1 / view.zoom - 1 / to;
  view.x += (x - 0.5) * change;
  view.y += (y - 0.5) * change;
  view.zoom = to;
  stage.classList.toggle("zoomed", to > 1);
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.setAttribute("aria-pressed", Math.abs(button.dataset.zoom - to) < 0.01);
  }
  $("exact").setAttribute("aria-pressed", false);
  fit();
  draw();
}

$("exact").addEventListener("click", () => {
  if (view.exact) return zoom(1);
  zoom(1);
  view.exact = true;
  for (const button of document.querySelectorAll("[data-zoom]")) button.setAttribute("aria-pressed", false);
  $("exact").setAttribute("aria-pressed", true);
  fit();
  stage.classList.toggle("zoomed", Boolean(shown) && canvas.width < shown[1].width);
  draw();
});

split.addEventListener("keydown", event => {
  const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  move(view.split + step);
});
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));
}
$("freeze").addEventListener("click", () => {
  frozen = !frozen;
  $("freeze").setAttribute("aria-pressed", frozen);
});
const stamp = () => new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-");
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// What is seen, with border, zoom and choices, as the browser encodes it: nothing of it costs the board anything.
let recorder = null, recorded = null, bytes = 0;
$("record").hidden = !(window.MediaRecorder && canvas.captureStream);
$("record").addEventListener("click", () => {
  if (recorder) return recorder.stop();
  if (!shown) return;
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
  if (!shown) return;
  draw();
  canvas.toBlob(blob => download(blob, `super-resolved-${stamp()}.png`), "image/png");
});
$("full").addEventListener("click", () => {
  document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen();
});

// What tests look at.
window.mcir = { view, pixel: (x, y) => painter.pixel(x, y), size: () => [canvas.width, canvas.height], recorded: () => recorded, recording: () => bytes };
place();
run();
})();
