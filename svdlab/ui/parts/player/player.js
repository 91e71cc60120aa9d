// The frame-locked player. Runs once per component: `element`, `props`, `trigger` and `watch` come from Gradio.
// What is drawn and when stands in drawing.js, pointers and keys in hands.js; all are one function body.
//
// Every frame of both clips is read into memory once; from then on one clock says which frame it is, and frame i of
// A and frame i of B are drawn in the same task. Nothing can drift, and a scrub is a drawing, not a seek.
// Labels and sentences come from people and files: they become text nodes only.
const root = element.querySelector(".sp-player");
const $ = (selector) => root.querySelector(selector);
const $$ = (selector) => Array.from(root.querySelectorAll(selector));

const MODES = ["side", "wipe", "difference", "blink"];
const ZOOMS = [1, 2, 4];
const MAX_ZOOM = 8;
const LOOPS = { loop: "Loop: on", swing: "Loop: back and forth", once: "Loop: off" };
const SMALL = navigator.deviceMemory <= 4 || matchMedia("(pointer: coarse)").matches;
const BUDGET = (SMALL ? 160 : 480) * 2 ** 20; // bytes of frames held at once; 96 of 1024×576 take 226 MB
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const panes = [".sp-pane.sp-a", ".sp-pane.sp-b"].map((name) => ({
  view: $(name + " .sp-view"),
  canvas: $(name + " .sp-clip"),
  name: $(name + " .sp-name"),
  forming: $(name + " .sp-forming"),
}));
const diff = $(".sp-diff");
const lone = document.createElement("canvas"); // |A − B| before it is amplified

let clips = []; // one per side: {frames: ImageBitmap[], count, width, height}
let count = 0; // frames that are compared: the shorter clip's
let fps = 6;
let frame = 0;
let playing = false;
let anchor = { time: 0, at: 0 }; // the clock: at `time` (ms) it was at `at` (frames)
let mode = "side";
let loop = "loop";
let speed = 1;
let amplify = 4;
let switches = 2; // blink: changes of side a second; 4 stays below the three flashes a second that can harm
let shown = 0; // blink: the side that is seen
let swapped = false; // while X is held
let view = { zoom: 1, x: 0.5, y: 0.5 }; // what is in the middle, in parts of the picture
let loading = null; // AbortController of the clips being read
let ticking = 0;
let pointed = false; // the last thing that happened here was a pointer's doing, not a key's
let cancelling = null; // the run the Cancel button is for

// ---- Words and numbers on the page

const text = (node, words) => {
  const said = words === null || words === undefined ? "" : String(words);
  if (node.textContent !== said) node.textContent = said;
};
const notice = (words, failed = false) => {
  text($(".sp-notice"), words);
  $(".sp-notice").hidden = !words;
  $(".sp-notice").classList.toggle("sp-failed", failed);
};
const fill = (range) => {
  const span = range.max - range.min || 1;
  range.style.setProperty("--filled", (100 * (range.value - range.min)) / span + "%");
};
const progress = (part, words) => {
  const percent = Math.round(100 * Math.min(1, Math.max(0, part || 0)));
  $(".sp-progress i").style.width = percent + "%";
  $(".sp-progress").setAttribute("aria-valuenow", percent);
  text($(".sp-words"), words);
};
const setState = (state) => {
  root.dataset.state = state;
  root.dataset.ready = String(state === "ready");
  showMode();
};
// Until there are frames there is no difference to show and nothing to blink: what forms stands where it will be,
// on one picture split in two.
const showMode = () => {
  root.dataset.mode = mode === "side" || root.dataset.state === "ready" ? mode : "wipe";
};
const setAspect = (value) => {
  const parts = String(value || "").split("/").map(Number);
  const aspect = parts.length === 2 ? parts[0] / parts[1] : parts[0];
  if (aspect > 0.1 && aspect < 10) root.style.setProperty("--aspect", aspect.toFixed(4));
};
const setNames = (value) => {
  const labels = [value.a, value.b].map((side) => (side || {}).label);
  if (swapped) labels.reverse();
  panes.forEach((pane, side) => text(pane.name, labels[side]));
  text($(".sp-a figcaption b"), swapped ? "B" : "A");
  text($(".sp-b figcaption b"), swapped ? "A" : "B");
};

// Other parts of the page draw from the frames while they are held here.
const tellClips = () => document.dispatchEvent(new CustomEvent("svdlab:clips", { detail: { clips: clips.map(({ frames }) => ({ frames })) } }));

function release() {
  for (const clip of clips) for (const bitmap of clip.frames) bitmap.close();
  clips = [];
  tellClips();
}

async function load(value) {
  const { signal } = (loading = new AbortController());
  const sides = [value.a, value.b].filter(Boolean).map(({ path, frames }) => ({ url: fileUrl(path), frames }));
  const opened = [];
  try {
    progress(0, "Loading the " + (sides.length > 1 ? "videos." : "video."));
    const results = await Promise.allSettled(sides.map((side) => openClip(side, fps, signal)));
    for (const result of results) if (result.status === "fulfilled") opened.push(result.value);
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const shortest = Math.min(...opened.map((clip) => clip.count));
    const bytes = opened.reduce((sum, clip) => sum + shortest * clip.width * clip.height * 4, 0);
    const scale = Math.min(1, Math.sqrt(BUDGET / bytes));
    let read = 0;
    const step = () => {
      read++;
      progress(read / (shortest * opened.length), `Reading frames: ${read} of ${shortest * opened.length}.`);
      if (!clips.length && opened.every((clip) => clip.frames.length)) present(opened);
    };
    await Promise.all(opened.map((clip) => readFrames(clip, shortest, scale, signal, step)));
    ready(opened, shortest, scale);
  } catch (error) {
    if (signal.aborted) {
      for (const clip of opened) if (!clips.includes(clip)) for (const bitmap of clip.frames) bitmap.close();
      return;
    }
    loading.abort(); // the other side stops too
    const lost = error.message === "missing" || error instanceof TypeError;
    setState("failed");
    text($(".sp-words"), "");
    notice(
      lost
        ? "The video could not be fetched; reload the page, or render it again."
        : "This browser cannot play the video (H.264 in MP4); download it, or try another browser.",
      true,
    );
  } finally {
    for (const clip of opened) {
      URL.revokeObjectURL(clip.url);
      clip.video.removeAttribute("src");
    }
  }
}

// The first frame of each stands as soon as it is read, in the place of the preview.
function present(opened) {
  clips = opened;
  frame = 0;
  setAspect(clips[0].width + "/" + clips[0].height);
  draw();
  for (const pane of panes) hideForming(pane);
}

function ready(opened, shortest, scale) {
  clips = opened;
  count = shortest;
  root.dataset.frames = count;
  const scrub = $(".sp-scrub");
  scrub.max = count - 1;
  text($(".sp-of"), "/" + count);
  setState("ready");
  tellClips();
  goTo(0);
  const said = [];
  const longer = clips.findIndex((clip) => clip.count > count);
  if (longer >= 0)
    said.push(`Comparing the first ${count} frames; ${"AB"[longer]} has ${clips[longer].count}.`);
  if (scale < 1) said.push(`Shown at ${Math.round(100 * scale)} % of their size, so that they fit into memory.`);
  const [a, b] = clips;
  if (b && (a.width !== b.width || a.height !== b.height))
    said.push(`A is ${a.width}×${a.height} and B ${b.width}×${b.height} pixels; B is stretched onto A.`);
  notice(said.join(" "));
  if (props.autoplay !== false && !calm.matches && count > 1) play();
  pixels();
}

// ---- What the controls do

function setMode(next) {
  if (!MODES.includes(next)) return;
  mode = next;
  showMode();
  for (const button of $$("[data-set-mode]")) button.setAttribute("aria-pressed", String(button.dataset.setMode === mode));
  shown = 0;
  draw();
  pixels();
  run();
}

function setLoop(next) {
  keepTime(() => (loop = next));
  const button = $("[data-do=loop]");
  button.dataset.loop = loop;
  button.setAttribute("aria-label", LOOPS[loop]);
  button.title = LOOPS[loop] + " (L)";
}

function swap(on) {
  if (clips.length < 2 || swapped === on) return;
  swapped = on;
  if (mode === "blink") {
    shown = 1 - shown; // the other side, and it stays while the key is held
    root.dataset.side = "ab"[shown];
    return;
  }
  setNames(props.value);
  draw();
}

function showKeys(on) {
  $(".sp-keys").hidden = !on;
  $(".sp-tools [data-do=keys]").setAttribute("aria-expanded", String(on));
}

const nextZoom = (up) => {
  const steps = [...ZOOMS, MAX_ZOOM];
  if (up) return steps.find((z) => z > view.zoom + 0.01) || MAX_ZOOM;
  return steps.reverse().find((z) => z < view.zoom - 0.01) || 1;
};

// Keeps the picture's point under (px, py) where it is; both in parts of the view.
function zoomTo(zoom, px = 0.5, py = 0.5) {
  const before = view.zoom;
  view.zoom = Math.min(MAX_ZOOM, Math.max(1, zoom));
  const shift = 1 / before - 1 / view.zoom;
  look(view.x + (px - 0.5) * shift, view.y + (py - 0.5) * shift);
}

function look(x, y) {
  const half = 0.5 / view.zoom;
  view.x = Math.min(1 - half, Math.max(half, x));
  view.y = Math.min(1 - half, Math.max(half, y));
  root.style.setProperty("--zoom", view.zoom);
  root.style.setProperty("--tx", 100 * (0.5 - view.x * view.zoom) + "%");
  root.style.setProperty("--ty", 100 * (0.5 - view.y * view.zoom) + "%");
  root.dataset.zoomed = String(view.zoom > 1.001);
  const said = Number(view.zoom.toFixed(1));
  text($(".sp-zoom-level"), said + "×");
  $(".sp-zoom").setAttribute("aria-label", `Zoom: ${said} times`);
  pixels();
}

// Far in, pixels are shown as they are instead of blurred into each other.
function pixels() {
  const [width, across] = clips.length ? [clips[0].frames[0].width, panes[0].view.clientWidth] : [1, 1];
  root.dataset.pixels = String((across * view.zoom) / width >= 3);
}

function setWipe(part) {
  const percent = 100 * Math.min(1, Math.max(0, part));
  root.style.setProperty("--wipe", percent + "%");
  $(".sp-divider").setAttribute("aria-valuenow", Math.round(percent));
}
const wipeNow = () => Number($(".sp-divider").getAttribute("aria-valuenow")) / 100;

const step = (by) => {
  pause();
  goTo(frame + by);
};
const doings = {
  play: () => (playing ? pause() : play()),
  first: () => step(-Infinity),
  last: () => step(Infinity),
  back: () => step(-1),
  on: () => step(1),
  loop: () => setLoop({ loop: "swing", swing: "once", once: "loop" }[loop]),
  "zoom-in": () => zoomTo(nextZoom(true)),
  "zoom-out": () => zoomTo(nextZoom(false)),
  zoom: () => zoomTo(ZOOMS.find((z) => z > view.zoom + 0.01) || 1),
  keys: () => showKeys($(".sp-keys").hidden),
  cancel: () => {
    $(".sp-cancel").disabled = true;
    trigger("stop", { run: cancelling });
  },
};

// ---- Listening: everything is delegated, the template is never redrawn

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.setMode) setMode(button.dataset.setMode);
  else if (button.dataset.do) doings[button.dataset.do]();
  if (event.detail) root.focus({ preventScroll: true }); // after a mouse, Space plays instead of pressing it again
});
root.addEventListener("input", (event) => {
  const { target } = event;
  if (target.matches(".sp-scrub")) {
    pause();
    goTo(Number(target.value));
  } else if (target.closest(".sp-amplify")) {
    amplify = Number(target.value);
    text($(".sp-amplify output"), "×" + amplify);
    draw();
  } else if (target.closest(".sp-rate")) {
    switches = Number(target.value);
    text($(".sp-rate output"), switches + " a second");
  }
  if (target.type === "range") fill(target);
});
root.addEventListener("change", (event) => {
  if (!event.target.matches(".sp-speed")) return;
  keepTime(() => (speed = Number(event.target.value) || 1));
  if (pointed) root.focus({ preventScroll: true });
});

// ---- Previews: each step brings a new picture, shown once it is decoded so that nothing flickers

const showable = (url) => /^data:image\//.test(url) || new URL(url, location.href).origin === location.origin;
function hideForming(pane) {
  pane.forming.hidden = true;
  pane.forming.removeAttribute("src");
}
async function preview(value) {
  const sides = [value.a, value.b];
  progress(Number(value.fraction), value.text);
  $(".sp-cancel").hidden = !value.cancel;
  if (value.cancel !== cancelling) $(".sp-cancel").disabled = false;
  cancelling = value.cancel || null;
  const coming = sides.map((side) => (side && side.url && showable(side.url) && side.url) || "");
  const decoded = coming.filter(Boolean).map((url) => Object.assign(new Image(), { src: url }).decode());
  await Promise.allSettled(decoded);
  if (root.dataset.state !== "preview" || props.value !== value) return; // something newer came meanwhile
  panes.forEach((pane, side) => {
    if (!coming[side]) return;
    pane.forming.src = coming[side];
    pane.forming.hidden = false;
  });
}

// ---- A new value

function blank() {
  release();
  count = 0;
  frame = 0;
  swapped = false;
  pause();
  Object.assign(root.dataset, { frame: "0", frames: "0" });
  for (const canvas of [...panes.map((pane) => pane.canvas), diff]) canvas.width = canvas.height = 0;
}

function update() {
  const value = props.value && typeof props.value === "object" ? props.value : {};
  const kind = value.kind || "empty";
  if (loading) loading.abort();
  notice("");
  setAspect(value.aspect || props.aspect);
  root.dataset.sides = kind === "empty" ? Number(props.sides) || 2 : value.b ? 2 : 1;
  fps = Number(value.fps) > 0 ? Number(value.fps) : 6;
  const before = root.dataset.state;
  if (kind === "preview") {
    if (before !== "preview") {
      panes.forEach(hideForming);
      blank();
    }
    setState("preview");
    setNames(value);
    preview(value);
    return;
  }
  blank();
  $(".sp-cancel").hidden = true;
  if (kind === "clips" && value.a) {
    setState("loading");
    setNames(value);
    zoomTo(1);
    load(value);
    return;
  }
  panes.forEach(hideForming);
  text($(".sp-placeholder"), value.text || props.empty);
  setState("empty");
}
