// The Models page. value: {memory: {line, parts}, cards: [], ready: [[id, name]], loras: [[id, what, hash]], shared, added, checked, touched}
// What was answered (added, checked, touched) stays until it is asked again.
const answered = {};
const SHADES = 6;

const drawMemory = ({ line, parts }) => {
  say($(".memory-line"), line);
  const bar = $(".memory-bar");
  bar.hidden = !parts.length;
  bar.replaceChildren(...parts.map(({ part, share, shared }) => {
    const piece = make("span", { class: shared ? "shared" : "", title: part });
    piece.style.flexGrow = share;
    return piece;
  }));
  $(".memory-parts").replaceChildren(...parts.map(({ part, users, size, shared }) =>
    make("li", { class: shared ? "shared" : "" }, make("b", {}, part), " " + size, make("span", {}, shared ? `shared by ${users}` : users))));
};

const pairs = (rows) => make("dl", {}, ...rows.flatMap(([label, text]) => [make("dt", {}, label), make("dd", {}, text)]));
const drawCard = (card) => {
  const open = new Set($$("details[open]").map((one) => one.dataset.id));
  const state = make("p", { class: "card-state" });
  sayLinked(state, card.sentence);
  const buttons = make("div", { class: "actions" });
  const button = (event, text) => buttons.append(make("button", { type: "button", class: "small", "data-event": event, "data-id": card.id }, text));
  const { download } = card;
  const running = download?.state === "running";
  if (card.gettable && !running) button("fetch", !download ? "Get weights" : download.fraction ? "Continue" : "Try again");
  if (running) button("halt", "Cancel");
  if (card.checkable) button("check", "Check");
  if (card.removable) button("forget", "Forget");
  const children = [
    make("header", {}, make("h3", {}, card.name), make("span", { class: "chip", "data-state": card.state }, card.state), make("code", {}, card.id)),
    make("p", {}, card.summary),
    state,
  ];
  if (download) {
    const line = make("p", { class: download.state === "failed" ? "error" : "help", role: "status" });
    sayLinked(line, download.said);
    const meter = make("div", { class: "meter", role: "progressbar", "aria-label": "Download of " + card.name, "aria-valuenow": Math.round(100 * download.fraction) }, make("div"));
    meter.firstChild.style.width = 100 * download.fraction + "%";
    if (running || download.fraction) children.push(meter);
    children.push(line);
  }
  const checked = answered.checked;
  if (checked?.id === card.id) {
    children.push(make("p", { class: checked.error ? "error" : "help", role: "status" }, checked.error || checked.said));
  }
  if (buttons.childElementCount) children.push(buttons);
  const licence = make("p", { class: "help" }, "Licence: ");
  licence.append(card.licence_url ? make("a", { href: card.licence_url, target: "_blank", rel: "noopener" }, card.licence) : card.licence || "not known");
  const more = make("details", { "data-id": card.id }, make("summary", {}, "Details"), pairs(card.facts), licence);
  if (card.use) {
    const use = make("p", { class: "help" }, card.use + " ");
    use.append(make("a", { href: card.use_url, target: "_blank", rel: "noopener" }, "The policy"));
    more.append(use);
  }
  more.append(make("h4", {}, "Official settings"), pairs(card.official), make("h4", {}, "What to expect"),
    make("ul", {}, ...card.limits.map((line) => make("li", {}, line))));
  more.open = open.has(card.id);
  if (card.facts.length) children.push(more); // of weights that cannot be read nothing is known
  return make("article", { class: "card", "data-id": card.id }, ...children);
};

const KINDS = ["spatial convolution", "temporal convolution", "spatial attention", "temporal attention", "other"];
const drawTouched = ({ changes = [] }) => {
  const plot = $(".touched-plot");
  const rows = new Map();
  for (const change of changes) {
    if (change.kind === "identical") continue;
    const key = change.part + " " + change.block;
    if (!rows.has(key)) rows.set(key, {});
    rows.get(key)[change.kind] = change;
  }
  plot.hidden = !rows.size;
  if (!rows.size) return;
  const most = Math.max(...changes.map((change) => change.relative), 1e-12);
  const cell = (change) => {
    if (!change) return make("td", { class: "none" });
    const shade = change.changed ? 1 + Math.min(SHADES - 1, Math.floor((SHADES * change.relative) / most)) : 0;
    const title = `${change.changed} of ${change.tensors} tensors changed`;
    return make("td", { "data-shade": shade, title }, change.changed ? (100 * change.relative).toFixed(2) + " %" : "identical");
  };
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Block"), ...KINDS.map((kind) => make("th", { scope: "col" }, kind))));
  const body = make("tbody", {}, ...[...rows].map(([key, kinds]) => make("tr", {}, make("th", { scope: "row" }, key), ...KINDS.map((kind) => cell(kinds[kind])))));
  plot.replaceChildren(make("table", {}, head, body));
};

const drawChoices = (ready) => {
  const known = JSON.stringify(ready);
  if (element.dataset.ready === known) return;
  element.dataset.ready = known;
  [".touched-a", ".touched-b"].forEach((selector, side) => {
    const before = $(selector).value;
    $(selector).replaceChildren(...ready.map(([id, name]) => make("option", { value: id }, name)));
    $(selector).value = ready.some(([id]) => id === before) ? before : (ready[side] || ready[0] || [""])[0];
  });
};

let taken = null;
const draw = () => {
  const value = props.value || {};
  if (!value.cards) return;
  if (taken !== props.value) for (const name of ["added", "checked", "touched"]) if (value[name]) answered[name] = value[name];
  taken = props.value;
  drawMemory(value.memory);
  const focused = document.activeElement?.dataset?.event && [document.activeElement.dataset.event, document.activeElement.dataset.id];
  $(".content").textContent = value.content;
  $(".cards").replaceChildren(...value.cards.map(drawCard));
  if (focused) $(`[data-event="${focused[0]}"][data-id="${CSS.escape(focused[1])}"]`)?.focus();
  $(".lora-files").hidden = !value.loras?.length;
  $(".lora-list").replaceChildren(...(value.loras || []).map(([id, said, hash]) =>
    make("li", {}, make("b", {}, id), " " + said, make("span", {}, hash),
      value.shared ? "" : make("button", { type: "button", class: "link", "data-lora": id, "aria-label": `Forget ${id}; its file stays` }, "Forget"))));
  $(".adding").hidden = value.shared;
  const { added = {}, touched = {} } = answered;
  say($(".add-error"), added.error);
  say($(".add-said"), added.said);
  if (value.added?.clear) $(".add-form").reset();
  drawChoices(value.ready);
  say($(".touched-error"), touched.error);
  say($(".touched-said"), touched.said);
  $(".touched-go").disabled = Boolean(touched.busy);
  drawTouched(touched);
};
// What stands there until the answer comes, which may take as long as reading all of the weights.
const answer = (name, said) => {
  answered[name] = said;
  draw();
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.event) {
    if (button.dataset.event === "check") answer("checked", { id: button.dataset.id, said: "Reading all of it…" });
    trigger(button.dataset.event, { id: button.dataset.id });
  }
  if (button?.dataset.lora) trigger("forget", { lora: button.dataset.lora });
  if (button?.matches(".touched-go")) answer("touched", { said: "Reading both…", busy: true });
  if (button?.matches(".touched-go")) trigger("contrast", { a: $(".touched-a").value, b: $(".touched-b").value });
});
$(".add-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($(".add-path").value) answer("added", { said: `Reading ${$(".add-path").value}…` });
  // Gradio takes a key named path for a file of its own.
  trigger("register", { place: $(".add-path").value, frames: $(".add-frames").value });
});
watch("value", draw);
draw();
