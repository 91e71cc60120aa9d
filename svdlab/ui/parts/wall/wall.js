// Several clips in step. value: {clips: [{id, path, frames, shape, label}], fps, said}. Frame i of all is drawn in one task.
const root = element.firstElementChild;
const scrub = $(".wall-scrub");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const SIDE = 480; // px: frames are kept no larger
let clips = [];
let count = 0;
let frame = 0;
let playing = false;
let fps = 6;
let anchor = { time: 0, at: 0 };
let ticking = 0;
let loading = null;

const paint = () => {
  for (const clip of clips) {
    const bitmap = clip.frames[frame];
    if (!bitmap) continue;
    if (clip.canvas.width !== bitmap.width || clip.canvas.height !== bitmap.height) Object.assign(clip.canvas, { width: bitmap.width, height: bitmap.height });
    clip.canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
  }
  root.dataset.frame = frame;
  scrub.value = frame;
  $(".wall-at").textContent = count ? `${frame + 1}/${count}` : "";
};
const tick = (time) => {
  ticking = 0;
  if (!element.isConnected || !playing) return;
  const now = Math.floor(anchor.at + ((Math.max(time, anchor.time) - anchor.time) / 1000) * fps) % count;
  if (now !== frame) {
    frame = now;
    paint();
  }
  ticking = requestAnimationFrame(tick);
};
const setPlaying = (on) => {
  playing = on && count > 1;
  $(".wall-play").textContent = playing ? "Pause" : "Play";
  $(".wall-play").setAttribute("aria-label", playing ? "Pause" : "Play");
  anchor = { time: performance.now(), at: frame };
  if (playing && !ticking) ticking = requestAnimationFrame(tick);
};
const goTo = (index) => {
  setPlaying(false);
  frame = Math.min(count - 1, Math.max(0, index));
  paint();
};
const load = async (value) => {
  loading?.abort();
  const { signal } = (loading = new AbortController());
  clips = value.clips.map(({ id, path, frames, shape, label }) => {
    const canvas = make("canvas", { role: "img", "aria-label": label });
    canvas.style.aspectRatio = shape;
    $(".wall-grid").append(make("figure", {}, make("a", { href: "history?run=" + encodeURIComponent(id) }, canvas), make("figcaption", {}, label)));
    return { canvas, frames: [], side: { url: fileUrl(path), frames } };
  });
  fps = Number(value.fps) || 6;
  count = Math.min(...value.clips.map((clip) => clip.frames));
  const unequal = value.clips.some((clip) => clip.frames !== count) ? ` The first ${count} frames of each.` : "";
  say($(".wall-said"), value.said + unequal);
  try {
    for (const clip of clips) {
      const opened = await openClip(clip.side, fps, signal);
      try {
        opened.frames = clip.frames;
        await readFrames(opened, count, Math.min(1, SIDE / opened.width), signal, () => clip.frames.length === 1 && paint());
      } finally {
        URL.revokeObjectURL(opened.url);
      }
    }
  } catch (error) {
    if (!signal.aborted) say($(".error"), "A video could not be read; reload the page, or render it again.");
    return;
  }
  scrub.max = count - 1;
  root.dataset.ready = "true";
  frame = 0;
  paint();
  setPlaying(!calm.matches);
};
const draw = () => {
  const value = props.value || {};
  root.hidden = !value.clips;
  $(".wall-grid").replaceChildren();
  if (!value.clips) return;
  root.dataset.ready = "false";
  load(value);
};
root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !count) return;
  if (button.matches(".wall-play")) setPlaying(!playing);
  if (button.matches(".wall-back")) goTo(frame - 1);
  if (button.matches(".wall-on")) goTo(frame + 1);
});
scrub.addEventListener("input", () => goTo(Number(scrub.value)));
document.addEventListener("keydown", (event) => {
  if (root.hidden || !count || event.target.closest("input, select, textarea, a, button")) return;
  const acts = { " ": () => setPlaying(!playing), ArrowLeft: () => goTo(frame - 1), ArrowRight: () => goTo(frame + 1), Home: () => goTo(0), End: () => goTo(count - 1) };
  if (!acts[event.key]) return;
  event.preventDefault();
  acts[event.key]();
});
watch("value", draw);
draw();
