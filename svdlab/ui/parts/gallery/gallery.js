// The gallery. value: {asked, kind, query, tiles: [], next, more, count, choices, exports, shared, turn, error} for a page
// of it, {asked, news: {tiles, ids, did, error, differs, go, instead, path, name, disk}} for what came of one thing done.
// Tiles are kept here; what is looked for stands in the address, so that going back finds it again.
const root = element.firstElementChild;
const form = $(".gallery-filters");
const grid = $(".gallery-grid");
const NAMES = ["text", "checkpoint", "preset", "state", "tag", "rating", "since", "until", "where", "starred", "bin"];
const COARSE = matchMedia("(hover: none)").matches;
let tiles = new Map(); // id → what the server said of it
let chosen = new Set();
let query = {};
let next = null;
let turn = 0;
let seen = 0;
let undo = [];
let last = null; // the tile that was chosen last: with Shift, all between

// ---- The filters

const option = ([value, words], now) => make("option", { value, selected: String(value) === String(now ?? "") }, words);
const fillChoices = (choices) => {
  const any = { checkpoint: "Any", preset: "Any", tag: "Any", state: "Any", rating: "Any" };
  for (const [name, words] of Object.entries(any)) {
    const known = choices[name] || [];
    const now = query[name] || "";
    const missing = now && !known.some(([value]) => value === now) ? [[now, now]] : [];
    form.elements[name].replaceChildren(option(["", words], now), ...[...known, ...missing].map((one) => option(one, now)));
  }
  form.elements.sort.replaceChildren(...choices.sort.map(([group, list]) => {
    const options = list.map((one) => option(one, query.sort || "created"));
    return group ? make("optgroup", { label: group }, ...options) : options;
  }).flat());
};
const showQuery = () => {
  for (const name of NAMES) {
    const field = form.elements[name];
    if (field.type === "checkbox") field.checked = Boolean(query[name]);
    else if (document.activeElement !== field) field.value = query[name] || "";
  }
  if (form.elements.sort.options.length) form.elements.sort.value = query.sort || "created";
  const up = query.order === "up";
  const order = $(".gallery-order");
  order.textContent = up ? "↑" : "↓";
  order.setAttribute("aria-label", up ? "Smallest or oldest first" : "Largest or newest first");
  order.title = order.getAttribute("aria-label");
  $(".gallery-picture").hidden = !query.picture;
  const pairs = query.kind === "comparisons";
  $$(".gallery-kinds button").forEach((button) => button.setAttribute("aria-pressed", String((button.dataset.kind === "comparisons") === pairs)));
  $(".gallery-sort").hidden = pairs;
  const set = [...NAMES.slice(1), "picture"].filter((name) => query[name]).length;
  $(".gallery-more").textContent = set ? `Filters (${set})` : "Filters";
  if (set && !form.dataset.opened) openFilters(true);
};
const openFilters = (on) => {
  form.dataset.opened = "yes";
  $(".gallery-second").hidden = !on;
  $(".gallery-more").setAttribute("aria-expanded", String(on));
};
const readForm = () => {
  const asked = {};
  for (const name of NAMES) {
    const field = form.elements[name];
    const value = field.type === "checkbox" ? (field.checked ? "1" : "") : field.value.trim();
    if (value) asked[name] = value;
  }
  const sort = form.elements.sort.value;
  if (sort && sort !== "created" && query.kind !== "comparisons") asked.sort = sort;
  for (const name of ["order", "picture", "kind"]) if (query[name]) asked[name] = query[name];
  return asked;
};
const search = (asked) => {
  query = asked;
  if (query.kind === "comparisons") delete query.sort;
  chosen.clear();
  const address = new URL(window.location.href);
  address.search = new URLSearchParams(query).toString();
  window.history.replaceState(window.history.state, "", address);
  showQuery();
  drawBar();
  root.classList.add("busy");
  trigger("find", { query, turn: ++turn });
};
let typing = 0;
form.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => search(readForm()), event.target.matches("[type=search]") ? 250 : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  search(readForm());
});
form.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.matches(".gallery-more")) openFilters($(".gallery-second").hidden);
  if (button.matches(".gallery-order")) search({ ...readForm(), order: query.order === "up" ? "" : "up" });
  if (button.dataset.kind) search({ ...readForm(), kind: button.dataset.kind === "comparisons" ? "comparisons" : "" });
  if (button.dataset.clear) search({ ...readForm(), [button.dataset.clear]: "" });
});

// ---- The tiles

const draw1 = (tile) => {
  const picture = make("a", { class: "gallery-picture-of", href: tile.href, "aria-label": `${tile.title}, ${tile.line}, ${tile.moment}` });
  picture.style.setProperty("--shape", tile.shape);
  for (const source of tile.posters.length ? tile.posters.map(fileUrl) : tile.picture ? [tile.picture] : [])
    picture.append(make("img", { src: source, alt: "", loading: "lazy" }));
  if (tile.posters.length === 2) picture.classList.add("two");
  if (tile.state !== "done") picture.append(make("span", { class: "tile-state" }, tile.words));
  const pick = make("label", { class: "gallery-pick" }, make("input", { type: "checkbox", "aria-label": "Select " + tile.title }));
  pick.firstChild.checked = chosen.has(tile.id);
  const star = make("button", { type: "button", class: "gallery-star", "aria-pressed": String(tile.starred), "aria-label": "Star", title: "Star" }, tile.starred ? "★" : "☆");
  const about = [tile.rating !== null ? "★".repeat(tile.rating) || "0 of 5" : "", ...tile.tags.map((tag) => "#" + tag), tile.note].filter(Boolean).join("  ");
  const box = make("article", { class: "gallery-tile", "data-id": tile.id, "data-state": tile.state },
    make("div", { class: "gallery-top" }, picture, pick, value().shared ? null : star),
    make("p", { class: "gallery-title" }, make("b", {}, tile.title), make("time", { title: tile.moment }, tile.when)),
    make("p", { class: "gallery-line" }, tile.key || tile.line),
    about ? make("p", { class: "gallery-about", title: about }, about) : null);
  box.classList.toggle("picked", chosen.has(tile.id));
  return box;
};
const value = () => props.value || {};
let shared = false;
const drawTiles = (fresh) => {
  if (fresh) grid.replaceChildren();
  const known = new Set($$(".gallery-tile").map((box) => box.dataset.id));
  for (const tile of tiles.values()) if (!known.has(tile.id)) grid.append(draw1(tile));
  root.classList.toggle("picking", chosen.size > 0);
};
const redraw = (id) => {
  const box = $(`.gallery-tile[data-id="${CSS.escape(id)}"]`);
  if (!box) return;
  const held = box.contains(document.activeElement) && document.activeElement.className;
  const fresh = draw1(tiles.get(id));
  box.replaceWith(fresh);
  if (held) $("." + held.split(" ")[0], fresh)?.focus();
};
const drop = (id) => {
  tiles.delete(id);
  chosen.delete(id);
  $(`.gallery-tile[data-id="${CSS.escape(id)}"]`)?.remove();
};
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
const drawCount = ({ count, kind }) => {
  const word = kind === "comparisons" ? "comparison" : "clip";
  const all = count ?? (next ? null : tiles.size);
  const where = query.bin ? " in the bin" : "";
  say($(".gallery-count"), tiles.size ? (all === null ? `The newest ${tiles.size} ${word}s${where}` : plural(all, word) + where) : "");
  const filtered = Object.keys(query).some((name) => !["kind", "sort", "order"].includes(name) && query[name]);
  $(".gallery-empty").hidden = tiles.size > 0 || Boolean(value().error);
  $(".gallery-empty p").textContent = query.bin ? "The bin is empty." : filtered ? "Nothing fits these filters." : "Nothing has been rendered yet.";
  $(".gallery-empty a").hidden = filtered;
  $(".gallery-on").hidden = !next;
};

// ---- The chosen ones

const drawBar = () => {
  const bar = $(".gallery-bar");
  bar.hidden = !chosen.size;
  root.classList.toggle("picking", chosen.size > 0);
  if (!chosen.size) return;
  const pairs = value().kind === "comparisons" || query.kind === "comparisons";
  const all = [...chosen].map((id) => tiles.get(id)).filter(Boolean);
  $(".gallery-chosen").textContent = `${chosen.size} selected`;
  const done = all.every((tile) => tile.state === "done");
  const act = (name) => $(`[data-do="${name}"]`, bar);
  act("pair").hidden = pairs;
  act("pair").disabled = chosen.size !== 2 || !done;
  act("pair").title = chosen.size === 2 ? "" : "Choose two";
  act("wall").hidden = pairs;
  act("wall").disabled = chosen.size < 2 || chosen.size > 12;
  act("vote").hidden = pairs;
  act("vote").disabled = chosen.size < 2 || chosen.size > 24 || !done;
  act("vote").title = act("vote").disabled ? "Choose 2 to 24 finished runs" : "";
  act("wall").title = act("wall").disabled ? "Choose 2 to 12" : "";
  for (const name of ["star", "discard"]) act(name).hidden = shared || (name === "discard" && Boolean(query.bin));
  act("star").textContent = all.every((tile) => tile.starred) ? "Take star away" : "Star";
  act("take_back").hidden = shared || !query.bin;
  $(".tag-form", bar).hidden = shared;
  if (chosen.size !== 2 || pairs) say($(".gallery-differs"), "");
  else if (bar.dataset.weighed !== [...chosen].join()) {
    bar.dataset.weighed = [...chosen].join();
    trigger("weigh", { ids: [...chosen] });
  }
};
const choose = (id, on, between) => {
  const order = [...tiles.keys()];
  const [from, to] = [order.indexOf(between && tiles.has(last) ? last : id), order.indexOf(id)].sort((a, b) => a - b);
  for (const one of order.slice(from, to + 1)) {
    if (on) chosen.add(one);
    else chosen.delete(one);
    const box = $(`.gallery-tile[data-id="${CSS.escape(one)}"]`);
    box.classList.toggle("picked", on);
    $("input", box).checked = on;
  }
  last = id;
  drawBar();
};
grid.addEventListener("click", (event) => {
  const box = event.target.closest(".gallery-tile");
  if (!box) return;
  const { id } = box.dataset;
  if (event.target.closest(".gallery-star")) {
    trigger("mark", { ids: [id], what: "star", value: !tiles.get(id).starred });
  } else if (event.target.matches("input")) {
    choose(id, event.target.checked, event.shiftKey);
  } else if (chosen.size && event.target.closest(".gallery-picture-of") && !(event.ctrlKey || event.metaKey)) {
    event.preventDefault(); // while some are chosen, a click chooses
    choose(id, !chosen.has(id), event.shiftKey);
  }
});
$(".gallery-bar").addEventListener("click", (event) => {
  const name = event.target.closest("[data-do]")?.dataset.do;
  const ids = [...chosen];
  if (name === "clear") {
    for (const id of ids) choose(id, false);
    last = null;
  }
  if (name === "pair") trigger("pair", { ids });
  if (name === "vote") window.location.assign("vote?runs=" + ids.map(encodeURIComponent).join(","));
  if (name === "wall") window.location.href = "history?wall=" + ids.map(encodeURIComponent).join(",");
  if (name === "star") trigger("mark", { ids, what: "star", value: !ids.every((id) => tiles.get(id).starred) });
  if (name === "discard") trigger("discard", { ids, did: "discard" });
  if (name === "take_back") trigger("take_back", { ids, did: "take_back" });
});
$(".gallery-bar .tag-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const box = $(".gallery-bar .tag-form input");
  if (box.value.trim()) trigger("mark", { ids: [...chosen], what: "tag", value: box.value });
  box.value = "";
});
$(".gallery-export").addEventListener("change", (event) => {
  if (event.target.value) trigger("deliver", { ids: [...chosen], as: event.target.value });
  event.target.value = "";
});
$(".gallery-undo .link").addEventListener("click", () => {
  trigger("take_back", { ids: undo, did: "undo" });
  say($(".gallery-undo > span"), "");
  $(".gallery-undo").hidden = true;
});
$(".gallery-on").addEventListener("click", () => {
  $(".gallery-on").disabled = true;
  trigger("find", { query, after: next, turn });
});
$(".gallery-disk").addEventListener("toggle", (event) => event.target.open && trigger("measure"));

// ---- Hovering plays

const play = (box) => {
  const tile = tiles.get(box.dataset.id);
  const place = $(".gallery-picture-of", box);
  if (!tile?.video || $("video", place)) return;
  const video = make("video", { src: fileUrl(tile.video), muted: true, loop: true, playsinline: true, "aria-hidden": "true" });
  video.muted = true;
  video.addEventListener("playing", () => video.classList.add("on"));
  place.append(video);
  video.play().catch(() => video.remove());
};
const still = (box) => $("video", box)?.remove();
if (!COARSE) {
  grid.addEventListener("pointerover", (event) => event.target.closest(".gallery-tile") && play(event.target.closest(".gallery-tile")));
  grid.addEventListener("pointerout", (event) => {
    const box = event.target.closest(".gallery-tile");
    if (box && !box.contains(event.relatedTarget)) still(box);
  });
}
grid.addEventListener("focusin", (event) => event.target.matches(".gallery-picture-of") && play(event.target.closest(".gallery-tile")));
grid.addEventListener("focusout", (event) => event.target.matches(".gallery-picture-of") && still(event.target.closest(".gallery-tile")));

// ---- What the server says

const hearNews = (news) => {
  say($(".gallery-error"), news.error);
  if (news.go) window.location.href = news.go;
  if (news.path) {
    const anchor = make("a", { href: fileUrl(news.path), download: news.name });
    element.append(anchor);
    anchor.click();
    anchor.remove();
  }
  if (news.disk !== undefined) say($(".gallery-disk-said"), news.disk);
  if (news.differs !== undefined && chosen.size === 2 && news.ids.every((id) => chosen.has(id))) say($(".gallery-differs"), news.differs);
  for (const tile of news.tiles || []) {
    if (news.did === "discard" || news.did === "take_back") drop(tile.id);
    else if (tiles.has(tile.id)) {
      tiles.set(tile.id, { ...tile, key: tiles.get(tile.id).key });
      redraw(tile.id);
    }
  }
  if (news.did === "discard") {
    undo = news.ids;
    $(".gallery-undo > span").textContent = `${plural(undo.length, "thing")} put into the bin.`.replace("1 thing", "One");
    $(".gallery-undo").hidden = false;
  }
  if (news.did === "undo") search(query); // they come back where they were
  if (news.did) drawCount({ kind: query.kind });
  drawBar();
};
const draw = () => {
  const { asked, news } = value();
  if (news?.instead) return window.location.replace(news.instead);
  root.hidden = !asked;
  if (!asked || asked === seen) return;
  seen = asked;
  if (news) return hearNews(news);
  const page = value();
  if (page.turn !== undefined && page.turn !== null && page.turn !== turn) return; // something newer was asked
  root.classList.remove("busy");
  shared = page.shared;
  form.classList.toggle("shared", shared);
  $(".gallery-disk").hidden = shared;
  query = { ...page.query };
  if (page.choices) fillChoices(page.choices);
  const exports = $(".gallery-export");
  if (exports.options.length === 1) exports.append(...(page.exports || []).map((one) => option(one)));
  showQuery();
  say($(".gallery-error"), page.error);
  next = page.next;
  $(".gallery-on").disabled = false;
  if (!page.more) tiles = new Map();
  for (const tile of page.tiles) tiles.set(tile.id, tile);
  drawTiles(!page.more);
  drawCount(page);
  drawBar();
};
watch("value", draw);
draw();
