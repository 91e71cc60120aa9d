// The picture: drop, paste, choose, camera or an example; the part the model sees is a frame one can drag.
// value: {sha256, preview, width, height, name, notes: [], error} as the server sends it.
const root = element.firstElementChild;
const file = $("input[type=file]");
const shown = $(".shown");
const frame = $(".crop");
let knobs = {};
let busy = false;

const crop = () => {
  const { width, height } = props.value;
  const { box } = fitting({ width, height }, clipOf(knobs, { width, height }), "crop", focusOf(knobs));
  return { left: box[0], top: box[1], across: box[2] - box[0], down: box[3] - box[1] };
};

const draw = () => {
  const value = props.value || {};
  root.classList.toggle("empty", !value.preview);
  root.classList.toggle("busy", busy);
  say($(".picture-error"), value.error);
  say($(".picture-notes"), (value.notes || []).join(" "));
  $(".as-picture").hidden = !value.plain;
  if (!value.preview) return;
  const image = $("img", shown);
  if (image.getAttribute("src") !== value.preview) image.src = value.preview;
  image.alt = "Picture: " + (value.name || "your picture");
  const fit = knobs.fit || "crop";
  shown.dataset.fit = fit;
  const clip = Number(knobs.width) > 0 && Number(knobs.height) > 0 ? `${knobs.width} / ${knobs.height}` : "16 / 9";
  shown.style.aspectRatio = fit === "crop" ? `${value.width} / ${value.height}` : clip;
  shown.style.setProperty("--shape", fit === "crop" ? value.width / value.height : Number(knobs.width) / Number(knobs.height) || 1.78);
  const { across, down, left, top } = crop();
  Object.assign(frame.style, {
    left: (100 * left) / value.width + "%",
    top: (100 * top) / value.height + "%",
    width: (100 * across) / value.width + "%",
    height: (100 * down) / value.height + "%",
  });
  const room = fit === "crop" && (value.width - across > 1 || value.height - down > 1);
  frame.hidden = !room;
  frame.tabIndex = room ? 0 : -1;
  frame.style.cursor = value.width - across > 1 ? "ew-resize" : "ns-resize";
};

const moveTo = (left, top) => {
  const { width, height } = props.value;
  const { across, down } = crop();
  const part = (at, room) => (room < 1 ? 0.5 : Math.min(1, Math.max(0, at / room)));
  tell("focus", { x: part(left, width - across), y: part(top, height - down) });
};

let grab = null;
shown.addEventListener("pointerdown", (event) => {
  if (frame.hidden || event.button) return;
  const area = shown.getBoundingClientRect();
  const scale = props.value.width / area.width;
  const at = { x: (event.clientX - area.left) * scale, y: (event.clientY - area.top) * scale };
  const { left, top, across, down } = crop();
  const inside = at.x >= left && at.x <= left + across && at.y >= top && at.y <= top + down;
  // Outside the frame a press brings its middle there.
  grab = inside ? { x: at.x - left, y: at.y - top } : { x: across / 2, y: down / 2 };
  if (!inside) moveTo(at.x - grab.x, at.y - grab.y);
  shown.setPointerCapture(event.pointerId);
  event.preventDefault();
});
shown.addEventListener("pointermove", (event) => {
  if (!grab) return;
  const area = shown.getBoundingClientRect();
  const scale = props.value.width / area.width;
  moveTo((event.clientX - area.left) * scale - grab.x, (event.clientY - area.top) * scale - grab.y);
});
for (const end of ["pointerup", "pointercancel"]) shown.addEventListener(end, () => (grab = null));
frame.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const { left, top, across, down } = crop();
  moveTo(left + step[0] * 0.02 * (props.value.width - across), top + step[1] * 0.02 * (props.value.height - down));
});

const take = async (given) => {
  if (!given || busy) return;
  busy = true;
  draw();
  try {
    const { path } = await upload(given);
    trigger("upload", { path, name: given.name || "pasted picture" });
  } catch (error) {
    busy = false;
    props.value = { ...(props.value || {}), error: "This file could not be sent: " + (error?.message || error) + "." };
    draw();
  }
};
file.addEventListener("change", () => {
  take(file.files[0]);
  file.value = "";
});
$(".as-picture").addEventListener("click", () => {
  const { place, name } = props.value.plain;
  busy = true;
  draw();
  trigger("upload", { path: place, name, plain: true });
});
$(".choose").addEventListener("click", () => file.click());
$(".drop").addEventListener("click", () => file.click());
let depth = 0;
const dragging = (on) => root.classList.toggle("dragging", on);
const carriesFile = (event) => Array.from(event.dataTransfer?.types || []).includes("Files");
document.addEventListener("dragenter", (event) => carriesFile(event) && element.isConnected && (depth++, dragging(true)));
document.addEventListener("dragleave", () => (depth = Math.max(0, depth - 1)) || dragging(false));
document.addEventListener("dragover", (event) => carriesFile(event) && event.preventDefault());
document.addEventListener("drop", (event) => {
  if (!carriesFile(event) || !element.isConnected) return;
  event.preventDefault();
  depth = 0;
  dragging(false);
  take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => {
  const pasted = Array.from(event.clipboardData?.files || [])[0];
  if (pasted && element.isConnected) take(pasted);
});

// Camera: a phone's own where there is no live one.
const live = $(".live");
let stream = null;
const stopCamera = () => {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  live.hidden = true;
};
$(".camera").addEventListener("click", async () => {
  if (stream) return stopCamera();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 }, facingMode: "environment" } });
    live.hidden = false;
    const video = $("video", live);
    video.srcObject = stream;
    await video.play();
  } catch {
    stopCamera();
    props.value = { ...(props.value || {}), error: "No camera could be opened; allow it in the browser, or choose a file." };
    draw();
  }
});
$(".take").addEventListener("click", () => {
  const video = $("video", live);
  const canvas = make("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  stopCamera();
  canvas.toBlob((blob) => blob && take(new File([blob], "camera.png", { type: "image/png" })), "image/png");
});
$(".stop").addEventListener("click", stopCamera);

$$(".example").forEach((button) =>
  button.addEventListener("click", () => {
    busy = true;
    draw();
    trigger("select", { example: button.dataset.example });
  }),
);
hear("knobs", (value) => {
  knobs = value;
  draw();
});
watch("value", () => {
  busy = false;
  draw();
  tell("picture", props.value || {});
});
draw();
if (props.value?.preview) tell("picture", props.value);
