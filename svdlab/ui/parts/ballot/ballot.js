// Two clips to be voted on. value: {contests: [{checkpoints, name}], runs, error}
// Both clips lie in one video and are drawn from the same frame of it, so neither comes, starts or plays before the other.
const root = $(".ballot");
const SITTING = "svdlab.sitting";
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "tie", ArrowDown: "both bad" };
const READY = 2; // pairs in the browser: the one looked at, and the next

const newSitting = () => crypto.getRandomValues(new Uint32Array(3)).reduce((text, part) => text + part.toString(36), "");
const sitting = () => {
  let known = window.localStorage.getItem(SITTING);
  if (!known) window.localStorage.setItem(SITTING, (known = newSitting()));
  return known;
};

let waiting = []; // pairs with their video, the first one shown
let asking = 0; // pairs that were asked for and have not come
let seenAll = false;
let scope = null;
let paused = false;

const asked = (more) => ({ scope, sitting: sitting(), ...more });
const askNext = (fresh) => {
  if (seenAll || !scope) return;
  while (waiting.length + asking < READY) {
    asking += 1;
    trigger("next", asked({ fresh: fresh && asking === 1 }));
    if (fresh) return; // the next one when this one is here: they must not be the same
  }
};
const begin = () => {
  for (const { video } of waiting) video.remove();
  waiting = [];
  asking = 0;
  seenAll = false;
  say($(".ballot-error"), "");
  tell("verdict", {});
  draw();
  askNext(true);
};

// ---- The clips

const paintFrom = ({ video, size: [wide, tall], gap }) => {
  root.style.setProperty("--shape", wide / tall);
  for (const [name, x] of [["left", 0], ["right", wide + gap]]) {
    const canvas = $(".ballot-" + name);
    if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
    canvas.getContext("2d", { alpha: false }).drawImage(video, x, 0, wide, tall, 0, 0, wide, tall);
  }
  root.dataset.painted = Number(root.dataset.painted || 0) + 1;
};
const follow = (pair) => {
  const again = () => {
    if (!element.isConnected || waiting[0] !== pair) return;
    paintFrom(pair);
    later();
  };
  const later = () => (pair.video.requestVideoFrameCallback ? pair.video.requestVideoFrameCallback(again) : requestAnimationFrame(again));
  again();
};
const show = () => {
  const pair = waiting[0];
  draw();
  if (!pair) return;
  root.dataset.token = pair.token;
  pair.video.currentTime = 0;
  follow(pair);
  if (!paused) pair.video.play().catch(() => {});
};
const take = async (pair) => {
  const video = make("video", { muted: true, loop: true, playsinline: true, preload: "auto", hidden: true });
  video.muted = true; // the attribute alone does not mute one made by a script
  try {
    const answer = await fetch(fileUrl(pair.path), { credentials: "same-origin" });
    if (!answer.ok) throw new Error("missing");
    video.src = URL.createObjectURL(await answer.blob());
    await new Promise((done, fail) => Object.assign(video, { onloadeddata: done, onerror: fail }));
  } catch {
    say($(".ballot-error"), "The clips could not be read. Reload the page to go on.");
    return;
  }
  element.append(video);
  waiting.push({ ...pair, video });
  if (waiting.length === 1) show();
};
const vote = (answer) => {
  const pair = waiting.shift();
  if (!pair) return;
  URL.revokeObjectURL(pair.video.src);
  pair.video.remove();
  trigger("vote", asked({ token: pair.token, answer }));
  show();
};
hear("ballot", async (told) => {
  if (told.kind === "voted") {
    say($(".ballot-error"), told.error);
    say($(".ballot-given"), told.given);
    tell("verdict", {});
    return askNext();
  }
  asking = Math.max(0, asking - 1);
  if (told.error) say($(".ballot-error"), told.error);
  if (told.given !== undefined) say($(".ballot-given"), told.given);
  if (told.pair) await take(told.pair);
  else seenAll = true;
  draw();
  if (told.pair) askNext();
});

// ---- The page

const draw = () => {
  const { contests = [], runs = [], error } = props.value || {};
  say($(".ballot-lost"), error);
  const any = scope !== null;
  const pair = waiting[0];
  $(".ballot-none").hidden = any || Boolean(error);
  $(".ballot-head").hidden = !any;
  $(".ballot-of").hidden = Boolean(runs.length) || !contests.length;
  $(".ballot-stage").hidden = !any || (seenAll && !pair && !asking);
  $(".ballot-wait").hidden = Boolean(pair) || (seenAll && !asking);
  for (const canvas of $$("canvas")) canvas.style.visibility = pair ? "" : "hidden";
  $(".ballot-ask").hidden = $(".ballot-answers").hidden = $(".ballot-stage").hidden;
  for (const button of $$("[data-answer]")) button.disabled = !pair;
  $(".ballot-end").hidden = !any || !seenAll || Boolean(pair) || asking > 0;
  $(".ballot-more").hidden = $(".ballot-help").hidden = !any;
  $(".ballot-play").hidden = !pair;
  root.dataset.ready = waiting.length;
  root.dataset.over = String(!$(".ballot-end").hidden);
};
const open = () => {
  const { contests = [], runs = [] } = props.value || {};
  const select = $("[name=contest]");
  select.replaceChildren(...contests.map(({ name }, place) => make("option", { value: place }, name)));
  scope = runs.length ? { runs } : contests.length ? { checkpoints: contests[0].checkpoints } : null;
  if (scope) begin();
  else draw();
};
const setPaused = (on) => {
  paused = on;
  $(".ballot-play").textContent = paused ? "Play" : "Pause";
  const video = waiting[0]?.video;
  if (video) paused ? video.pause() : video.play().catch(() => {});
};
element.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.dataset.answer) vote(button.dataset.answer);
  if (button.matches(".ballot-play")) setPaused(!paused);
  if (button.matches(".ballot-reveal")) trigger("reveal", asked({}));
  if (button.matches(".ballot-other")) {
    window.localStorage.setItem(SITTING, newSitting());
    say($(".ballot-given"), "");
    begin();
  }
});
element.addEventListener("change", ({ target }) => {
  if (target.name !== "contest") return;
  scope = { checkpoints: props.value.contests[Number(target.value)].checkpoints };
  begin();
});
document.addEventListener("keydown", (event) => {
  if (!element.isConnected || !waiting.length || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, summary, a")) return;
  if (event.key === " " && !event.target.closest("button")) {
    event.preventDefault();
    setPaused(!paused);
  }
  if (!KEYS[event.key]) return;
  event.preventDefault();
  vote(KEYS[event.key]);
});
watch("value", open);
open();
