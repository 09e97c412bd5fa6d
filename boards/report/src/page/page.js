// The sliders: two versions of a picture on top of each other, and a divider to drag. Without this script the
// page shows all versions one after the other.
"use strict";
for (const slider of document.querySelectorAll(".slider")) {
  const stage = slider.querySelector(".stage");
  const layers = slider.querySelector(".layers");
  const images = [...layers.querySelectorAll("img")];
  const [width, height] = slider.dataset.size.split(",").map(Number);
  const detail = slider.dataset.detail.split(",").map(Number);
  // Zoomed, the middle of the picture that is shown; it starts at the detail.
  const focus = { x: detail[0] + detail[2] / 2, y: detail[1] + detail[3] / 2 };
  const state = { left: Math.min(1, images.length - 1), right: images.length - 1, at: 0.5, zoom: 1 };

  const make = (tag, className, parent, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    parent.append(element);
    return element;
  };
  const controls = slider.querySelector(".controls");
  const choose = (side, name) => {
    const label = make("label", "", controls, name);
    const select = make("select", "", label);
    images.forEach((image, i) => (make("option", "", select, image.dataset.label).value = i));
    select.value = state[side];
    select.addEventListener("change", () => {
      state[side] = Number(select.value);
      draw();
    });
  };
  choose("left", "left");
  choose("right", "right");
  const zooms = [1, 2, 4, 8].map((zoom) => {
    const button = make("button", "", controls, zoom + "×");
    button.type = "button";
    button.addEventListener("click", () => {
      state.zoom = zoom;
      draw();
    });
    return [zoom, button];
  });
  const move = make("label", "", controls, "divider");
  const range = make("input", "", move);
  Object.assign(range, { type: "range", min: 0, max: 1, step: 0.005, value: state.at });
  range.addEventListener("input", () => {
    state.at = Number(range.value);
    draw();
  });
  const tags = ["left", "right"].map((side) => make("span", "tag " + side, stage));
  const handle = make("div", "handle", stage);

  function draw() {
    const { left, right, at, zoom } = state;
    const clamp = (v) => Math.min(Math.max(v, 0), 1 - 1 / zoom);
    const x = clamp(focus.x / width - 0.5 / zoom);
    const y = clamp(focus.y / height - 0.5 / zoom);
    layers.style.transform = `scale(${zoom}) translate(${-100 * x}%, ${-100 * y}%)`;
    // The divider in the picture's own coordinates.
    const cut = 100 * (x + at / zoom);
    images.forEach((image, i) => {
      image.className = i === left || i === right ? "shown" : "";
      image.style.zIndex = i === left ? 2 : 1;
      image.style.clipPath = i === left && left !== right ? `inset(0 ${100 - cut}% 0 0)` : "none";
    });
    tags[0].textContent = images[left].dataset.label;
    tags[1].textContent = images[right].dataset.label;
    for (const tag of tags) tag.style.zIndex = 3;
    handle.style.left = 100 * at + "%";
    handle.style.zIndex = 3;
    range.value = at;
    // Enlarged pixels are shown as squares; a picture that has to shrink, as on a phone, is smoothed.
    slider.classList.toggle("enlarged", stage.clientWidth * zoom >= width);
    for (const [value, button] of zooms) button.setAttribute("aria-pressed", value === zoom);
  }

  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    state.at = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    draw();
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  // A double click zooms in on that place, and out again.
  stage.addEventListener("dblclick", (event) => {
    const box = stage.getBoundingClientRect();
    if (state.zoom > 1) {
      state.zoom = 1;
    } else {
      focus.x = ((event.clientX - box.left) / box.width) * width;
      focus.y = ((event.clientY - box.top) / box.height) * height;
      state.zoom = 4;
    }
    draw();
  });
  slider.classList.add("ready");
  draw();
  addEventListener("resize", draw);
}
