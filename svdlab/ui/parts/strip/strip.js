// The latest runs. value: {runs: [{id, state, words, poster, title, line, fraction}], open, interrupted}
const root = element.firstElementChild;
const draw = () => {
  const { runs = [], open = "", interrupted = [] } = props.value || {};
  const one = interrupted.length === 1;
  say($(".strip-notice > span"), interrupted.length && `${one ? "One run was" : interrupted.length + " runs were"} interrupted.`);
  $(".strip-notice").hidden = !interrupted.length;
  root.hidden = !runs.length;
  const list = $(".tiles");
  const known = new Map($$(".tile", list).map((tile) => [tile.dataset.run, tile]));
  const wanted = runs.map((run) => {
    const tile = known.get(run.id) || newTile(run.id);
    const image = $("img", tile);
    const source = run.poster ? fileUrl(run.poster) : run.picture || "";
    if (source && image.getAttribute("src") !== source) image.src = source;
    image.hidden = !source;
    tile.dataset.state = run.state;
    tile.setAttribute("aria-current", String(run.id === open));
    tile.title = run.when;
    tile.setAttribute("aria-label", `${run.words}: ${run.title}, ${run.line}`);
    say($(".tile-state", tile), run.state === "done" ? "" : run.words);
    $(".tile-bar", tile).hidden = run.state !== "running";
    $(".tile-bar > span", tile).style.width = 100 * (run.fraction || 0) + "%";
    $(".tile-title", tile).textContent = run.title;
    $(".tile-line", tile).textContent = run.line;
    return tile;
  });
  // Moving a tile between a press and its release would swallow the click: each step brings news of a tile.
  if (wanted.length !== list.children.length || wanted.some((tile, place) => tile !== list.children[place])) list.replaceChildren(...wanted);
};
const newTile = (id) =>
  make(
    "button",
    { type: "button", class: "tile", "data-run": id },
    make("span", { class: "tile-picture" }, make("img", { alt: "", loading: "lazy" }), make("span", { class: "tile-state" }),
      make("span", { class: "tile-bar" }, make("span"))),
    make("span", { class: "tile-title" }),
    make("span", { class: "tile-line" }),
  );
root.addEventListener("click", (event) => {
  if (event.target.closest(".resume")) trigger("resume");
  const tile = event.target.closest(".tile");
  if (tile) trigger("select", { run: tile.dataset.run });
});
hear("news", ({ moved = {} }) => {
  for (const [id, fraction] of Object.entries(moved))
    for (const tile of $$(`.tile[data-run="${CSS.escape(id)}"]`)) $(".tile-bar > span", tile).style.width = 100 * fraction + "%";
});
watch("value", draw);
draw();
