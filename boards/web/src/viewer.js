// The stage of a page: two pictures under one border, the smaller one interpolated, with zoom, one to one, and the hands that move
// them, and the choice of a model beside it. Pages have the elements stage, view, split, left, right, exact and buttons with data-zoom.

export const $ = id => document.getElementById(id);
const stage = $("stage"), split = $("split");
export const canvas = $("view");
/** Where the border is and what part is seen: the middle, as parts of the whole, and how many times it is enlarged. */
export const view = { split: 0.5, zoom: 1, x: 0.5, y: 0.5, exact: false };
let shown = null;

// --- Drawing. The small picture is interpolated here, by the kernel that the program would use (a = -0.5). Where it is shown
// smaller than it is, both are averaged instead. Opacity is mixed in as it is interpolated, over squares.
const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
uniform sampler2D small, large;
uniform vec4 area;
uniform float border;
uniform vec2 lod;
in vec2 at;
out vec4 color;
float weight(float x) {
  x = abs(x);
  return x < 1.0 ? (1.5 * x - 2.5) * x * x + 1.0 : x < 2.0 ? ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 : 0.0;
}
vec4 over(vec4 t) { return vec4(t.rgb * t.a, t.a); }
vec4 bicubic(vec2 p) {
  ivec2 size = textureSize(small, 0);
  vec2 centre = p * vec2(size) - 0.5, base = floor(centre), part = centre - base;
  vec4 sum = vec4(0.0);
  for (int j = -1; j <= 2; j++) {
    for (int i = -1; i <= 2; i++) {
      ivec2 t = clamp(ivec2(base) + ivec2(i, j), ivec2(0), size - 1);
      sum += weight(float(i) - part.x) * weight(float(j) - part.y) * over(texelFetch(small, t, 0));
    }
  }
  return sum;
}
void main() {
  vec2 p = area.xy + at * area.zw;
  vec4 c = at.x >= border ? over(textureLod(large, p, lod.y)) : lod.x > 0.0 ? over(textureLod(small, p, lod.x)) : bicubic(p);
  ivec2 square = ivec2(gl_FragCoord.xy) / 12;
  float paper = (square.x + square.y) % 2 == 0 ? 0.62 : 0.5;
  float clear = c.a > 0.999 ? 0.0 : 1.0 - clamp(c.a, 0.0, 1.0);
  color = vec4(clamp(c.rgb + clear * paper, 0.0, 1.0), 1.0);
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
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    return { texture, size: [1, 1], averaged: false };
  });
  const place = name => gl.getUniformLocation(program, name);
  const [area, border, lod] = ["area", "border", "lod"].map(place);
  const use = unit => gl.activeTexture(gl.TEXTURE0 + unit);
  return {
    maxSide: gl.getParameter(gl.MAX_TEXTURE_SIZE),
    load(images) {
      images.forEach((image, unit) => {
        use(unit);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, image);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
        Object.assign(textures[unit], { size: [image.width, image.height], averaged: false });
      });
    },
    draw(window, at) {
      // Pixels of a picture for one of the canvas, as a power of two. Averages are made when they are needed.
      const levels = textures.map(({ size }) => size[0] * window[2] / canvas.width).map(n => n > 1.001 ? Math.log2(n) : 0);
      levels.forEach((level, unit) => {
        if (level <= 0 || textures[unit].averaged) return;
        use(unit);
        gl.generateMipmap(gl.TEXTURE_2D);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
        textures[unit].averaged = true;
      });
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.uniform4f(area, ...window);
      gl.uniform1f(border, at);
      gl.uniform2f(lod, ...levels);
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
    maxSide: 8192,
    load(loaded) { images = loaded; },
    draw([x, y, w, h], at) {
      context.imageSmoothingQuality = "high";
      context.fillStyle = "#8f8f8f";
      context.fillRect(0, 0, canvas.width, canvas.height);
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
/** Longest side of a picture that can be shown. */
export const maxSide = painter.maxSide;
/** Pictures with a longer side are drawn at the size of the screen, and not with all of their pixels. */
const ALL_PIXELS = 4096;

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

export function draw() {
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
  const box = stage.getBoundingClientRect();
  if (view.exact) {
    size = [Math.min(width, Math.round(box.width * devicePixelRatio)), Math.min(height, Math.round(box.height * devicePixelRatio))];
  } else if (Math.max(width, height) > ALL_PIXELS) {
    const part = Math.min(1, box.width * devicePixelRatio / width);
    size = size.map(side => Math.max(1, Math.round(side * part)));
  }
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
}
addEventListener("resize", () => { fit(); draw(); });

/** Shows two bitmaps, the small and the large one, which then belong to the stage. */
export function show(images) {
  painter.load(images);
  if (shown) for (const image of new Set(shown)) if (!images.includes(image)) image.close();
  shown = images;
  canvas.style.visibility = "";
  fit();
  draw();
}

/** Shows nothing. */
export function clear() {
  if (shown) for (const image of new Set(shown)) image.close();
  shown = null;
  canvas.style.visibility = "hidden";
}

/** The bitmaps that are shown; null before the first. */
export const showing = () => shown;
export const pixel = (x, y) => painter.pixel(x, y);
export const size = () => [canvas.width, canvas.height];

export function place() {
  split.style.left = `${view.split * 100}%`;
  split.setAttribute("aria-valuenow", Math.round(view.split * 100));
  $("left").classList.toggle("away", view.split < 0.12);
  $("right").classList.toggle("away", view.split > 0.88);
  draw();
}

// --- Hands. Not zoomed, a drag anywhere moves the border; zoomed, it moves the picture. Two fingers zoom.
let drag = null, pinch = null;
const fingers = new Map();
const fraction = event => {
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};
const between = () => {
  const [[ax, ay], [bx, by]] = [...fingers.values()];
  return { x: (ax + bx) / 2, y: (ay + by) / 2, apart: Math.hypot(ax - bx, ay - by) };
};

stage.addEventListener("pointerdown", event => {
  if (event.button) return;
  const [x, y] = fraction(event);
  fingers.set(event.pointerId, [x, y]);
  stage.setPointerCapture(event.pointerId);
  if (fingers.size === 2) {
    pinch = { ...between(), zoom: view.zoom };
    drag = null;
    return;
  }
  const whole = view.exact ? shown && canvas.width === shown[1].width && canvas.height === shown[1].height : view.zoom === 1;
  drag = { border: whole || split.contains(event.target), x, y, from: { ...view } };
  stage.classList.toggle("dragging", !drag.border);
  if (drag.border) move(x);
});
stage.addEventListener("pointermove", event => {
  const [x, y] = fraction(event);
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, [x, y]);
  if (pinch && fingers.size === 2) {
    const now = between();
    return zoom(pinch.zoom * now.apart / Math.max(pinch.apart, 0.01), now.x, now.y);
  }
  if (!drag) return;
  if (drag.border) return move(x);
  if (!shown) return;
  const [, , width, height] = area();
  view.x = drag.from.x - (x - drag.x) * width;
  view.y = drag.from.y - (y - drag.y) * height;
  draw();
});
for (const end of ["pointerup", "pointercancel"]) {
  stage.addEventListener(end, event => {
    fingers.delete(event.pointerId);
    drag = pinch = null;
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

/** Sixteen times, and for large pictures on to eight pixels of the screen for one of theirs. */
const maxZoom = () => Math.max(16, shown ? 8 * shown[1].width / Math.max(1, canvas.width) : 16);

/** Zooms so that what is at (x, y) stays there. */
export function zoom(to, x = 0.5, y = 0.5) {
  view.exact = false;
  to = Math.min(maxZoom(), Math.max(1, to));
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

/** One pixel of the picture on one of the screen, or all of it again. */
export function exact() {
  if (view.exact) return zoom(1);
  zoom(1);
  view.exact = true;
  for (const button of document.querySelectorAll("[data-zoom]")) button.setAttribute("aria-pressed", false);
  $("exact").setAttribute("aria-pressed", true);
  fit();
  stage.classList.toggle("zoomed", Boolean(shown) && canvas.width < shown[1].width);
  draw();
}
$("exact").addEventListener("click", exact);

split.addEventListener("keydown", event => {
  const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
  if (step === undefined || event.shiftKey) return;
  event.preventDefault();
  move(view.split + step);
});
// Anywhere on the page: + and - zoom, 0 shows all, 1 is one to one, and with shift the arrows move what is seen.
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select")) return;
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "+" || event.key === "=") zoom(view.zoom * 1.5);
  else if (event.key === "-") zoom(view.zoom / 1.5);
  else if (event.key === "0") zoom(1);
  else if (event.key === "1") exact();
  else if (by && event.shiftKey && shown) {
    const [, , width, height] = area();
    view.x += by[0] * width / 8;
    view.y += by[1] * height / 8;
    draw();
  } else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => zoom(Number(button.dataset.zoom)));
}
$("full").addEventListener("click", () => {
  document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen();
});

// --- The choice of a model and of how much it cleans up. Pages have the elements choice, model, cleaning, strength and percent.
let strengths = () => [];

/** An entry of the list of models, with a value of its own where the name is not enough. */
export const option = ({ name, upscale }, value = name) => new Option(`${name}  ×${upscale}`, value);

/** Shows what is chosen: where there are no strengths, there is no slider. */
export function describe() {
  $("cleaning").hidden = !strengths().length;
  $("percent").textContent = `${$("strength").value} %`;
}

/** The chosen strength as the end of a query; nothing for a model that has none. */
export const strength = () => strengths().length ? `&strength=${$("strength").value}` : "";

/** Calls `changed` whenever something else is chosen. `of` gives the strengths of the chosen model. */
export function choices(of, changed) {
  strengths = of;
  const choose = () => {
    describe();
    changed();
  };
  $("model").addEventListener("change", choose);
  $("strength").addEventListener("input", choose);
  $("choice").addEventListener("submit", event => event.preventDefault());
}

// --- What pages need besides.
export const number = (value, digits) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
