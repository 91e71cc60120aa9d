// A sweep's cells, all clips on one clock. value: {kind: "none"|"sweep"|…} whole, or {sweep, changed, …} what changed.
// Each clip is one sheet of frames, decoded once; frame i of every cell is drawn from it in one task. See grid/view.js.
const root = $(".sweep");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const MOST_SHOWN = { clips: 96, numbers: 2000 }; // cells in sight at a time: the others a window further
const MOST_COLUMNS = 60;
const ASKED_AT_ONCE = 6;
const MOST_CHOSEN = 24;
const STATE_WORDS = { waiting: "Waiting", queued: "Next", running: "Rendering", failed: "Failed", cancelled: "Cancelled", interrupted: "Interrupted", refused: "Refused", gone: "Deleted", out: "Left out" };
const VERBS = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Try again", delete: "Delete" };

let sweep = null; // the whole value
let cells = new Map(); // number → {state, run, said}
let texts = new Map(); // number → what is going on with it
let measured = new Map(); // number → value
let chosen = [];
let window_ = 0; // of rows, where not all are in sight

// ---- The clock

const clips = new Map(); // run → {bitmap, columns, width, height, frames}
let frame = 0;
let count = 0;
let playing = false;
let speed = 1;
let anchor = { time: 0, at: 0 };
let ticking = 0;

const paintCell = (node) => {
  const clip = clips.get(node.dataset.run);
  if (!clip) return;
  const canvas = $("canvas", node);
  if (canvas.width !== clip.width || canvas.height !== clip.height) Object.assign(canvas, { width: clip.width, height: clip.height });
  const at = Math.min(frame, clip.frames - 1);
  canvas.getContext("2d", { alpha: false }).drawImage(clip.bitmap, (at % clip.columns) * clip.width, Math.floor(at / clip.columns) * clip.height, clip.width, clip.height, 0, 0, clip.width, clip.height);
  node.dataset.frame = at;
};
const paint = () => {
  for (const node of $$(".sweep-cell[data-ready]")) paintCell(node);
  root.dataset.frame = frame;
  root.dataset.drawn = Number(root.dataset.drawn || 0) + 1;
  $(".sweep-scrub").value = frame;
  $(".sweep-at").textContent = count ? `${frame + 1}/${count}` : "";
};
const tick = (time) => {
  ticking = 0;
  if (!element.isConnected || !playing) return;
  const next = Math.floor(anchor.at + ((Math.max(time, anchor.time) - anchor.time) / 1000) * sweep.fps * speed) % count;
  if (next !== frame) {
    frame = next;
    paint();
  }
  ticking = requestAnimationFrame(tick);
};
const setPlaying = (on) => {
  playing = on && count > 1;
  root.dataset.playing = String(playing);
  $(".sweep-play").textContent = playing ? "Pause" : "Play";
  anchor = { time: performance.now(), at: frame };
  if (playing && !ticking) ticking = requestAnimationFrame(tick);
};
const goTo = (index) => {
  setPlaying(false);
  frame = Math.min(count - 1, Math.max(0, index));
  paint();
  keepAddress();
};

// ---- Sheets, fetched a few at a time for what is in sight

let asking = false;
let wantsToPlay = !calm.matches;
const side = () => (view.size > 208 ? 256 : view.size > 144 ? 192 : 128);
const askSheets = () => {
  if (asking || !sweep) return;
  if (view.numbers) return settle();
  const wanted = $$(".sweep-cell[data-state=done]:not([data-ready])").map((node) => node.dataset.run);
  const ids = [...new Set(wanted)].filter((run) => !clips.has(run) && !lost.has(run)).slice(0, ASKED_AT_ONCE);
  if (!ids.length) return settle();
  asking = true;
  trigger("sheets", { ids, side: side() });
};
const lost = new Set();
const takeSheets = async ({ sheets = [] }) => {
  await Promise.all(
    sheets.map(async ({ run, path, frames, columns, size }) => {
      try {
        const answer = await fetch(fileUrl(path), { credentials: "same-origin" });
        if (!answer.ok) throw new Error("missing");
        clips.set(run, { bitmap: await createImageBitmap(await answer.blob()), frames, columns, width: size[0], height: size[1] });
      } catch {
        lost.add(run);
      }
    }),
  );
  asking = false;
  for (const node of $$(".sweep-cell[data-state=done]:not([data-ready])")) {
    if (clips.has(node.dataset.run)) node.dataset.ready = "true";
    else if (lost.has(node.dataset.run)) say($(".sweep-words", node), "The clip could not be read.");
  }
  settle();
  askSheets();
};
const settle = () => {
  const ready = $$(".sweep-cell[data-ready]");
  count = Math.max(0, ...ready.map((node) => clips.get(node.dataset.run).frames));
  $(".sweep-scrub").max = Math.max(0, count - 1);
  $(".sweep-bar").hidden = !count || view.numbers;
  frame = Math.min(frame, Math.max(0, count - 1));
  root.dataset.clips = ready.length;
  paint();
  if (wantsToPlay && count > 1 && !playing) setPlaying(true);
  wantsToPlay = wantsToPlay && !count;
};
hear("sheets", takeSheets);

// ---- What is said of the whole

const drawHead = () => {
  say($(".sweep-line"), sweep.line);
  const total = cells.size || 1;
  const ended = [...cells.values()].filter(({ state }) => !["waiting", "queued", "running"].includes(state)).length;
  $(".sweep-progress").setAttribute("aria-valuemax", total);
  $(".sweep-progress").setAttribute("aria-valuenow", ended);
  $(".sweep-progress i").style.width = (100 * ended) / total + "%";
  root.dataset.state = sweep.state;
  $(".sweep-verbs").replaceChildren(...(sweep.own ? sweep.verbs : []).map((verb) => make("button", { type: "button", class: "small", "data-verb": verb }, VERBS[verb])));
};
const drawLatest = ({ latest = [] }) => {
  const others = latest.filter(({ id }) => id !== sweep?.id);
  $(".sweep-latest").hidden = !others.length;
  $(".sweep-latest ul").replaceChildren(
    ...others.map(({ id, title, line, when }) =>
      make("li", {}, make("a", { href: "sweep?sweep=" + encodeURIComponent(id) }, title), make("span", { class: "help" }, ` ${line}, ${when}`)),
    ),
  );
};
const drawChosen = () => {
  chosen = chosen.filter((number) => cells.get(number)?.state === "done");
  const bar = $(".sweep-chosen");
  bar.hidden = !chosen.length;
  for (const node of $$(".sweep-cell")) {
    const on = chosen.includes(Number(node.dataset.number));
    node.dataset.chosen = String(on);
    const box = $("input", node);
    if (box) box.checked = on;
  }
  if (!chosen.length) return;
  say($(".sweep-chosen-said"), chosen.length > 4 ? `${chosen.length} cells` : chosen.map((number) => nameOf(number)).join(" | "));
  $(".to-explore").hidden = chosen.length !== 1;
  $(".to-explore").href = "./?run=" + encodeURIComponent(cells.get(chosen[0]).run);
  $(".to-compare").disabled = chosen.length !== 2;
  $(".to-vote").hidden = chosen.length < 2;
  $(".to-vote").href = "vote?runs=" + chosen.map((number) => encodeURIComponent(cells.get(number).run)).join(",");
};

// ---- A new value

const take = (value) => {
  if (value.kind === "none") {
    $(".sweep-none").hidden = false;
    root.hidden = true;
    say($(".sweep-lost"), value.error);
    return drawLatest(value);
  }
  if (value.kind === "sweep") {
    const other = sweep?.id !== value.id;
    sweep = value;
    cells = new Map();
    if (other) begin();
    $(".sweep-none").hidden = true;
    root.hidden = false;
    say($(".sweep-title"), value.title);
    say($(".sweep-caption"), value.caption);
    drawLatest(value);
  } else if (!sweep || value.sweep !== sweep.id) return;
  else Object.assign(sweep, { state: value.state, line: value.line, verbs: value.verbs });
  const fresh = !cells.size;
  for (const [number, state, run, why] of value.changed || []) cells.set(number, { state, run, said: why });
  texts = new Map(value.now || []);
  if (fresh) drawTools();
  if (fresh) layOut();
  else for (const node of $$(".sweep-cell")) drawCell(node);
  drawHead();
  drawChosen();
  askSheets();
  if (view.measure && !fresh && (value.changed || []).some(([, state]) => state === "done")) askMeasure();
};
const begin = () => {
  chosen = [];
  frame = 0;
  measured = new Map();
  wantsToPlay = !calm.matches;
  for (const { bitmap } of clips.values()) bitmap.close();
  clips.clear();
  lost.clear();
  readAddress();
  if (view.measure) askMeasure();
};
hear("answer", (answer) => {
  say($(".sweep-making"), "");
  $$(".sweep-exports button").forEach((button) => (button.disabled = false));
  say($(".sweep-error"), answer.error);
  if (answer.go) window.location.assign(answer.go);
  if (!answer.path) return;
  const anchor = make("a", { href: fileUrl(answer.path), download: answer.name });
  element.append(anchor);
  anchor.click();
  anchor.remove();
});
watch("value", () => take(props.value || {}));

// ---- Listening

element.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button || !sweep) return;
  if (button.matches(".sweep-play")) setPlaying(!playing);
  if (button.matches(".sweep-back")) goTo(frame - 1);
  if (button.matches(".sweep-on")) goTo(frame + 1);
  if (button.dataset.verb) {
    button.disabled = true;
    trigger("control", { id: sweep.id, what: button.dataset.verb });
  }
  if (button.matches(".sweep-swap")) {
    Object.assign(view, { rows: view.columns, columns: view.rows ?? view.columns });
    if (view.rows === view.columns) view.rows = null;
    changeView();
  }
  if (button.dataset.window) {
    window_ = Math.max(0, window_ + Number(button.dataset.window) * rowsInSight());
    layOut();
    askSheets();
  }
  if (button.matches(".clear")) {
    chosen = [];
    drawChosen();
  }
  if (button.matches(".in-full")) trigger("full", { id: sweep.id, numbers: chosen });
  if (button.matches(".choose-best")) {
    const least = digitsOf()[4] === "lower";
    chosen = [...measured].sort(([, a], [, b]) => (least ? a - b : b - a)).slice(0, 4).map(([number]) => number);
    drawChosen();
  }
  if (button.matches(".to-compare")) trigger("pair", { ids: chosen.map((number) => cells.get(number).run) });
  if (button.matches(".sweep-link")) {
    keepAddress();
    copyText(window.location.href, button);
  }
  if (button.dataset.kind) {
    $$(".sweep-exports button").forEach((one) => (one.disabled = true));
    say($(".sweep-making"), "Making the file.");
    trigger("deliver", { id: sweep.id, kind: button.dataset.kind, view: viewOnTheWire() });
  }
});
element.addEventListener("change", ({ target }) => {
  if (target.matches(".sweep-pick input")) {
    const number = Number(target.closest(".sweep-cell").dataset.number);
    chosen = target.checked ? [...chosen, number].slice(-MOST_CHOSEN) : chosen.filter((one) => one !== number);
    drawChosen();
  }
  if (target.name === "speed") {
    speed = Number(target.value) || 1;
    anchor = { time: performance.now(), at: frame };
  }
  if (target.closest(".sweep-tools") && target.name !== "size") readTools(target);
});
element.addEventListener("input", ({ target }) => {
  if (target.matches(".sweep-scrub")) goTo(Number(target.value));
  if (target.name === "size") {
    view.size = Number(target.value);
    root.style.setProperty("--cell", view.size + "px");
    keepAddress();
  }
});
document.addEventListener("keydown", (event) => {
  if (root.hidden || !element.isConnected || !count || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, button, summary") || (event.key === " " && event.target.closest("a"))) return;
  const acts = { " ": () => setPlaying(!playing), ArrowLeft: () => goTo(frame - 1), ArrowRight: () => goTo(frame + 1), Home: () => goTo(0), End: () => goTo(count - 1) };
  if (!acts[event.key]) return;
  event.preventDefault();
  acts[event.key]();
});
take(props.value || {});
