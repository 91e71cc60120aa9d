// What stands under the player: is it fair, what was measured, what to look for, the files.
// value: {comparison, note, badge: {fair, title, checks, noise, hashes, differences}, line, detail,
//         sides: [{letter, name, words, file, stem}], measures: [{label, help, unit, a, b, difference, beside}], plots, counted, look,
//         stem, pair} or {started} while there is none yet
const root = element.firstElementChild;
const items = (list, lines) => list.replaceChildren(...(lines || []).map((line) => make("li", {}, line)));
let started = 0;

const drawBadge = (badge) => {
  const box = $(".badge");
  box.hidden = !badge;
  if (!badge) return;
  box.dataset.fair = String(badge.fair);
  $(".badge-title").textContent = badge.title;
  for (const check of $$(".check")) {
    const { ok, text } = badge.checks[check.dataset.check];
    check.dataset.ok = String(ok);
    $("span", check).textContent = text;
  }
  const hash = $(".noise-hash");
  say(hash, badge.noise);
  hash.title = badge.hashes.map(([side, value]) => `${side} ${value}`).join("\n");
  items($(".badge-differences"), badge.differences);
  $(".noise-hashes").replaceChildren(...badge.hashes.flatMap(([side, value]) => [make("dt", {}, side), make("dd", {}, value)]));
};

const link = (selector, path, name) => {
  $(selector).hidden = !path;
  if (!path) return;
  $(selector).href = fileUrl(path);
  $(selector).download = name;
};

const number = (text, unit, beside) =>
  make("td", {}, make("b", {}, text), text === "–" || !unit ? "" : make("span", { class: "unit" }, " " + unit), beside ? make("small", {}, beside) : "");
const drawTable = ({ sides = [], measures = [] }) => {
  $(".measured").hidden = !measures.length;
  if (!measures.length) return;
  const heads = sides.map((side) =>
    make("th", { scope: "col" }, make("b", { class: "side-letter " + side.letter }, side.letter), side.name, make("small", {}, side.words)),
  );
  $("thead tr").replaceChildren(make("th", { scope: "col" }, "Measured"), ...heads, make("th", { scope: "col" }, "B minus A"));
  $("tbody").replaceChildren(
    ...measures.map((row) =>
      make("tr", {}, make("th", { scope: "row" }, make("b", {}, row.label), make("small", {}, row.help)),
        number(row.a, row.unit), number(row.b, row.unit), number(row.difference, row.unit, row.beside)),
    ),
  );
};

const draw = () => {
  const value = props.value || {};
  root.hidden = !value.comparison;
  if (value.started && value.started !== started) {
    started = value.started;
    setTimeout(() => {
      const player = document.querySelector("#compare-player");
      const fits = player && player.offsetHeight < innerHeight;
      player?.scrollIntoView({ block: fits ? "nearest" : "start", behavior: "smooth" });
    }, 100); // once it has taken the stage's place
  }
  if (!value.comparison) return;
  say($(".result-note > span"), value.note);
  $(".result-note").hidden = !value.note;
  drawBadge(value.badge);
  say($(".result-line"), value.line);
  say($(".result-detail"), value.detail);
  const [a = {}, b = {}] = value.sides || [];
  link(".get-a", a.file, a.stem + ".mp4");
  link(".get-b", b.file, b.stem + ".mp4");
  $$(".deliver").forEach((button) => (button.hidden = !value.pair));
  drawTable(value);
  drawPlots($(".plots"), value.plots, ["A", "B"]);
  say($(".counted"), value.counted);
  items($(".look ul"), value.look);
  $(".look").hidden = !(value.look || []).length;
};

// The server names the file video.mp4 whatever `download` says; a blob of ours has the name we give it.
const save = async (anchor) => {
  const answer = await fetch(anchor.href, { credentials: "same-origin" });
  if (!answer.ok) return;
  const url = URL.createObjectURL(await answer.blob());
  make("a", { href: url, download: anchor.download }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

root.addEventListener("click", (event) => {
  const side = event.target.closest("a[download]");
  if (side) {
    event.preventDefault();
    save(side);
  }
  const button = event.target.closest("button");
  if (!button) return;
  const comparison = props.value?.comparison;
  if (button.matches(".again")) trigger("again", { comparison });
  if (button.matches(".deliver")) {
    $$(".deliver").forEach((one) => (one.disabled = true));
    tell("delivering", { kind: button.dataset.kind });
    trigger("deliver", { comparison, kind: button.dataset.kind });
  }
  if (button.matches(".copy-link")) {
    const link = new URL(window.location.href);
    link.search = "?compare=" + comparison;
    link.hash = "";
    copyText(link.href, button);
  }
  if (button.matches(".show-hashes")) {
    const more = $(".hashes");
    more.hidden = !more.hidden;
    button.setAttribute("aria-expanded", String(!more.hidden));
  }
});
hear("delivered", () => $$(".deliver").forEach((one) => (one.disabled = false)));
watch("value", draw);
draw();
