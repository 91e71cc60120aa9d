// Pointers and keys. Put behind player.js, in one function body with it.

// Pointers: one drags the divider or the picture, two pinch, a click plays.
const pointers = new Map();
let gesture = null;
const inView = (event) => event.target.closest(".sp-view, .sp-over");
const place = (point) => {
  const seen = mode === "side" && clips.length === 2 ? point.view : panes[mode === "wipe" ? 1 : 0].view;
  const box = seen.getBoundingClientRect();
  return { x: (point.clientX - box.left) / box.width, y: (point.clientY - box.top) / box.height, box };
};
const middle = () => {
  const [a, b] = [...pointers.values()];
  return { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2, view: a.view };
};
const apart = () => {
  const [a, b] = [...pointers.values()];
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1;
};
const point = (event) => ({
  clientX: event.clientX,
  clientY: event.clientY,
  view: event.target.closest(".sp-view") || (pointers.get(event.pointerId) || {}).view || panes[0].view,
});

root.addEventListener("keydown", () => (pointed = false), true);
root.addEventListener("pointerdown", (event) => {
  pointed = true;
  if (!inView(event) || event.button !== 0 || root.dataset.ready !== "true") return;
  pointers.set(event.pointerId, point(event));
  if (pointers.size === 2) {
    gesture = { kind: "pinch", from: apart(), zoom: view.zoom };
    return;
  }
  const onDivider = event.target.closest(".sp-divider");
  const wiping = mode === "wipe" && clips.length === 2 && (onDivider || view.zoom === 1);
  const kind = wiping ? "wipe" : view.zoom > 1 ? "pan" : "click";
  gesture = { kind, x: event.clientX, y: event.clientY, start: { ...view }, moved: false };
  if (onDivider) {
    event.preventDefault();
    onDivider.focus({ preventScroll: true });
  }
  if (gesture.kind !== "click") event.target.setPointerCapture(event.pointerId);
});
root.addEventListener("pointermove", (event) => {
  if (!pointers.has(event.pointerId) || !gesture) return;
  const held = pointers.get(event.pointerId);
  pointers.set(event.pointerId, { clientX: event.clientX, clientY: event.clientY, view: held.view });
  if (gesture.kind === "pinch") {
    if (pointers.size < 2) return;
    const at = place(middle());
    zoomTo((gesture.zoom * apart()) / gesture.from, at.x, at.y);
    return;
  }
  if (Math.hypot(event.clientX - gesture.x, event.clientY - gesture.y) > 4) gesture.moved = true;
  if (!gesture.moved) return;
  root.dataset.dragging = gesture.kind;
  if (gesture.kind === "wipe") setWipe(place(pointers.get(event.pointerId)).x);
  if (gesture.kind === "pan") {
    const { box } = place(held);
    look(
      gesture.start.x - (event.clientX - gesture.x) / box.width / view.zoom,
      gesture.start.y - (event.clientY - gesture.y) / box.height / view.zoom,
    );
  }
});
const letGo = (event) => {
  if (!pointers.delete(event.pointerId)) return;
  const still = gesture && gesture.kind !== "pinch" && !gesture.moved;
  const clicked = event.type === "pointerup" && still && !event.target.closest(".sp-divider");
  if (!pointers.size) {
    gesture = null;
    delete root.dataset.dragging;
  }
  if (clicked) doings.play();
};
root.addEventListener("pointerup", letGo);
root.addEventListener("pointercancel", letGo);
root.addEventListener("wheel", (event) => {
  // Without Ctrl the wheel scrolls the page; a trackpad's pinch arrives as a wheel with Ctrl.
  if (!(event.ctrlKey || event.metaKey) || !inView(event) || root.dataset.ready !== "true") return;
  event.preventDefault();
  const at = place(point(event));
  zoomTo(view.zoom * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0025)), at.x, at.y);
}, { passive: false });

// ---- Keys: when the player has the focus, or nothing has

const keyDoings = {
  " ": doings.play,
  ArrowLeft: doings.back, ArrowRight: doings.on, Home: doings.first, End: doings.last,
  l: doings.loop, "+": doings["zoom-in"], "=": doings["zoom-in"], "-": doings["zoom-out"], 0: () => zoomTo(1),
  "?": doings.keys,
};
// With several players on a page, keys that go to nobody go to the first one in sight.
const firstInSight = () =>
  Array.from(document.querySelectorAll("[data-svdlab-player]")).find((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && box.bottom > 0 && box.top < innerHeight;
  });
const nobody = (target) => target === document.body || target === document.documentElement;
const isOurs = (target) => root.contains(target) || (props.keys !== "player" && nobody(target) && firstInSight() === root);

function onKey(event) {
  const { target, key } = event;
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !isOurs(target)) return;
  if (target.matches("input:not([type=range]), textarea, select") || target.isContentEditable) return;
  if (key === "Escape" && !$(".sp-keys").hidden) return showKeys(false);
  if (root.dataset.ready !== "true") return;
  const onButton = target.matches("button");
  if (target.matches(".sp-divider") && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) {
    const at = { ArrowLeft: wipeNow() - 0.02, ArrowRight: wipeNow() + 0.02, Home: 0, End: 1 }[key];
    event.preventDefault();
    return setWipe(at);
  }
  if (target.matches("input[type=range]:not(.sp-scrub)") && /^(Arrow|Home|End|Page)/.test(key)) return;
  if (key === " " && onButton) return; // presses the button
  if (clips.length === 2) {
    if (/^[1-4]$/.test(key)) return event.preventDefault(), setMode(MODES[key - 1]);
    if (key.toLowerCase() === "x") return swap(true);
  }
  const doing = keyDoings[key.length === 1 ? key.toLowerCase() : key];
  if (!doing) return;
  event.preventDefault();
  doing();
}
// Gradio runs this once per mount; a player that has left the page takes its listeners along.
const gone = new AbortController();
const whileHere = (handler) => (event) => (element.isConnected ? handler(event) : gone.abort());
document.addEventListener("keydown", whileHere(onKey), { signal: gone.signal });
const onKeyUp = (event) => event.key.toLowerCase() === "x" && swap(false);
document.addEventListener("keyup", whileHere(onKeyUp), { signal: gone.signal });
window.addEventListener("blur", whileHere(() => swap(false)), { signal: gone.signal });

const onSeek = (event) => {
  if (root.dataset.ready !== "true") return;
  pause();
  goTo(Number(event.detail.frame) || 0);
};
document.addEventListener("svdlab:seek", whileHere(onSeek), { signal: gone.signal });

for (const range of $$("input[type=range]")) fill(range);
setMode("side");
watch("value", update);
update();
