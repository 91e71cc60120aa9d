// What is drawn, and the clock that says which frame it is. Put behind player.js, in one function body with it.

// ---- Drawing

function paint(canvas, bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
}

function paintDifference(a, b) {
  for (const canvas of [lone, diff]) {
    if (canvas.width !== a.width || canvas.height !== a.height) {
      canvas.width = a.width;
      canvas.height = a.height;
    }
  }
  const pen = lone.getContext("2d", { alpha: false });
  pen.globalCompositeOperation = "copy";
  pen.drawImage(a, 0, 0);
  pen.globalCompositeOperation = "difference";
  pen.drawImage(b, 0, 0, a.width, a.height);
  const out = diff.getContext("2d", { alpha: false });
  out.globalCompositeOperation = "copy";
  out.drawImage(lone, 0, 0);
  out.globalCompositeOperation = "lighter"; // adds and saturates: exact, unlike a filter
  for (let times = 1; times < amplify; times++) out.drawImage(lone, 0, 0);
}

function draw() {
  if (!clips.length || !clips.every((clip) => clip.frames[frame])) return;
  const now = clips.map((clip) => clip.frames[frame]);
  if (swapped && mode !== "blink") now.reverse();
  if (now.length === 2 && root.dataset.mode === "difference") paintDifference(now[0], now[1]);
  else now.forEach((bitmap, side) => paint(panes[side].canvas, bitmap));
  root.dataset.frame = frame;
  document.dispatchEvent(new CustomEvent("svdlab:frame", { detail: { frame } }));
  root.dataset.side = "ab"[mode === "blink" && now.length === 2 ? shown : 0];
  text($(".sp-at"), frame + 1);
  text($(".sp-seconds"), `${(frame / fps).toFixed(2)} s · ${Number(fps.toFixed(2))} fps`);
  const scrub = $(".sp-scrub");
  if (Number(scrub.value) !== frame) scrub.value = frame;
  scrub.setAttribute("aria-valuetext", `frame ${frame + 1} of ${count}`);
  fill(scrub);
}

// ---- The clock

function goTo(index) {
  frame = Math.min(count - 1, Math.max(0, index));
  anchor = { time: performance.now(), at: frame };
  draw();
}

function frameAt(time) {
  const position = Math.floor(anchor.at + ((time - anchor.time) / 1000) * fps * speed);
  if (loop === "once") return Math.min(position, count - 1);
  if (loop === "loop" || count < 3) return position % count;
  const swing = position % (2 * count - 2); // 0 1 2 3 2 1
  return swing < count ? swing : 2 * count - 2 - swing;
}

function tick(time) {
  ticking = 0;
  if (!element.isConnected) return;
  let changed = false;
  if (playing && count) {
    const next = frameAt(Math.max(time, anchor.time));
    changed = next !== frame;
    frame = next;
    if (loop === "once" && frame === count - 1) pause();
  }
  if (blinking()) {
    const side = swapped ? shown : Math.floor((time / 1000) * switches) % 2;
    changed ||= side !== shown;
    shown = side;
  }
  if (changed) draw();
  run();
}

const blinking = () => mode === "blink" && clips.length === 2 && root.dataset.ready === "true";
const run = () => {
  if (!ticking && (playing || blinking())) ticking = requestAnimationFrame(tick);
};
const setPlaying = (on) => {
  playing = on;
  root.dataset.playing = String(on);
  const button = $("[data-do=play]");
  button.setAttribute("aria-label", on ? "Pause" : "Play");
  button.title = (on ? "Pause" : "Play") + " (Space)";
};
function play() {
  if (!count) return;
  if (loop === "once" && frame >= count - 1) frame = 0;
  anchor = { time: performance.now(), at: frame };
  setPlaying(true);
  draw();
  run();
}
function pause() {
  setPlaying(false);
}
const keepTime = (change) => {
  change();
  anchor = { time: performance.now(), at: frame };
};
