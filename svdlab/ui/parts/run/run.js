// One run. value: {absent} if there is none, or {id, title, line, words, problem, binned, shared, starred, rating, note, tags, video,
//   frames, workflow, workflow_notes, stem, picture, picture_hash, facts: [{title, rows: [[label, value, aside]]}], pairs: [[id, words]], recipe, plots}
const root = element.firstElementChild;
const holder = document.getElementById("run-page");
const STARS = 5;
const mark = (what, value) => trigger("mark", { id: props.value.id, what, value });

const drawStars = ({ rating }) => {
  const stars = $(".stars");
  if (!stars.childElementCount) {
    for (let n = 1; n <= STARS; n++)
      stars.append(make("button", { type: "button", role: "radio", "data-stars": n, "aria-label": `${n} of ${STARS}` }, "★"));
  }
  $$("button", stars).forEach((button, place) => {
    button.setAttribute("aria-checked", String(rating === place + 1));
    button.classList.toggle("lit", rating !== null && place < rating);
  });
};
const drawTags = ({ tags, shared }) => {
  $(".run-tags").replaceChildren(...tags.map((tag) =>
    make("span", { class: "chip" }, tag, shared ? null : make("button", { type: "button", "data-untag": tag, "aria-label": "Remove the tag " + tag }, "×"))));
};
const factRow = ([label, text, aside], told) => [
  make("dt", {}, label),
  make("dd", { class: aside && !told ? "changed" : "" }, make("span", {}, text), aside ? make("small", {}, aside) : null),
];
const drawFacts = ({ facts }) => {
  $(".run-facts").replaceChildren(...facts.filter(({ rows }) => rows.length).map(({ title, rows }) =>
    make("section", { "data-about": title }, make("h2", {}, title), make("dl", {}, ...rows.flatMap((row) => factRow(row, title === "Measured"))))));
};
const draw = () => {
  const value = props.value || {};
  root.hidden = !value.id;
  if (holder) holder.dataset.shown = value.video ? "clip" : "none";
  $(".run-absent").hidden = !value.absent;
  $(".run-absent .error").textContent = value.absent || "";
  if (!value.id) return;
  document.title = value.title + ", " + value.line;
  say($(".run-title"), value.title);
  say($(".run-line"), value.line);
  say($(".run-words"), value.words);
  say($(".run-problem"), value.problem);
  say($(".run-binned > span"), value.binned && "This is in the bin; it is removed for good when the bin is emptied.");
  $(".run-binned").hidden = !value.binned;
  const star = $(".run-star");
  star.setAttribute("aria-pressed", String(value.starred));
  star.textContent = value.starred ? "★ Starred" : "☆ Star";
  drawStars(value);
  drawTags(value);
  for (const part of [".run-marks", ".run-note", ".run-delete"]) $(part).hidden = value.shared;
  const note = $(".run-note textarea");
  if (document.activeElement !== note) note.value = value.note;
  const link = (selector, href, name) => {
    const anchor = $(selector);
    anchor.hidden = !href;
    if (href) anchor.href = href;
    if (name) anchor.download = name;
  };
  link(".run-explore", "./?run=" + encodeURIComponent(value.id));
  link(".run-compare", "compare?from=" + encodeURIComponent(value.id));
  link(".run-video", value.video && fileUrl(value.video), value.stem + ".mp4");
  link(".run-frames", value.frames && fileUrl(value.frames), value.stem + "-frames.zip");
  const workflow = value.workflow && "data:application/json," + encodeURIComponent(value.workflow);
  link(".run-workflow", workflow, value.stem + "-comfyui.json");
  $(".run-differs").hidden = !value.workflow_notes.length;
  $(".run-differs ul").replaceChildren(...value.workflow_notes.map((line) => make("li", {}, line)));
  link(".run-same", value.shared ? "" : "history?picture=" + encodeURIComponent(value.picture_hash));
  $(".run-delete").textContent = value.binned ? "Take back" : "Delete";
  drawFacts(value);
  drawPlots($(".plots"), value.plots, ["A"]);
  $(".run-pairs").hidden = !value.pairs.length;
  $(".run-pairs ul").replaceChildren(...value.pairs.map(([id, words]) => make("li", {}, make("a", { href: "compare?compare=" + encodeURIComponent(id) }, words))));
  $(".recipe-json").textContent = value.recipe;
};
root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const value = props.value;
  if (button.matches(".run-star")) mark("star", !value.starred);
  if (button.dataset.stars) {
    const n = Number(button.dataset.stars);
    mark("rate", n === value.rating ? null : n);
  }
  if (button.dataset.untag) mark("untag", button.dataset.untag);
  if (button.matches(".run-delete") || button.dataset.do === "back") trigger(value.binned ? "take_back" : "discard", { id: value.id });
  if (button.matches(".copy-recipe")) copyText(value.recipe, button);
  if (button.matches(".run-link")) {
    const link = new URL(window.location.href);
    link.search = "?run=" + value.id;
    copyText(link.href, button);
  }
});
$(".stars").addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const next = Math.min(STARS, Math.max(1, (props.value.rating || 0) + by));
  mark("rate", next);
  $(`[data-stars="${next}"]`).focus();
});
$(".tag-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const box = $(".tag-form input");
  if (box.value.trim()) mark("tag", box.value);
  box.value = "";
});
let waiting = 0;
const keep = () => {
  clearTimeout(waiting);
  waiting = 0;
  mark("note", $(".run-note textarea").value);
  say($(".run-saved"), "Saved.");
};
$(".run-note textarea").addEventListener("input", () => {
  say($(".run-saved"), "");
  clearTimeout(waiting);
  waiting = setTimeout(keep, 900);
});
$(".run-note textarea").addEventListener("blur", () => waiting && keep());
watch("value", draw);
draw();
