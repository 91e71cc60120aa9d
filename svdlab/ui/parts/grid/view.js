// How the cells of a sweep lie on the page: what runs downwards and across, the page, the colour. In front of grid.js, in
// one function body with it. All of it stands in the address.
const BESIDE = 100; // px that the names of rows take
const GAP = 6; // px between cells, as grid.css has it
const view = { rows: null, columns: 0, at: {}, measure: "", numbers: false, size: 208 };

const shapeOf = () => sweep.dimensions.map(({ values }) => values.length);
const numberAt = (place) => place.reduce((sum, at, d) => sum * shapeOf()[d] + at, 0);
const placeOf = (number) => {
  const place = [];
  for (const length of shapeOf().reverse()) {
    place.unshift(number % length);
    number = Math.floor(number / length);
  }
  return place;
};
const nameOf = (number) => sweep.dimensions.map(({ label, values }, d) => `${label} ${values[placeOf(number)[d]]}`).join(", ");
const turned = () => sweep.dimensions.map((_, d) => d).filter((d) => d !== view.rows && d !== view.columns);

// ---- The address

const readAddress = () => {
  const query = new URLSearchParams(window.location.search);
  const known = query.get("sweep") === sweep.id;
  const several = sweep.dimensions.map((_, d) => d).filter((d) => shapeOf()[d] > 1);
  const last = several.at(-1) ?? 0;
  const dimension = (name, usual) => {
    const given = known ? query.get(name) : null;
    if (given === "none") return null;
    return given !== null && sweep.dimensions[Number(given)] ? Number(given) : usual;
  };
  const wide = Math.max(280, element.clientWidth);
  Object.assign(view, { columns: dimension("columns", last) ?? last, rows: dimension("rows", several.at(-2) ?? null), at: {} });
  if (view.rows === view.columns) view.rows = null;
  for (const part of ((known && query.get("page")) || "").split(",")) {
    const [d, at] = part.split(".").map(Number);
    if (sweep.dimensions[d] && at >= 0 && at < shapeOf()[d]) view.at[d] = at;
  }
  view.measure = (known && sweep.measures.find(([name]) => name === query.get("measure"))?.[0]) || "";
  view.numbers = known && query.get("show") === "numbers";
  const across = Math.min(6, shapeOf()[view.columns]);
  const usual = Math.min(384, Math.max(112, Math.floor(((wide - BESIDE) / across - GAP) / 16) * 16)); // as wide as there is room
  view.size = known && Number(query.get("size")) ? Math.min(384, Math.max(96, Number(query.get("size")))) : usual;
  window_ = (known && Math.max(0, Number(query.get("from")))) || 0;
  frame = (known && Math.max(0, Number(query.get("frame")) - 1)) || 0;
  if (known && query.get("frame")) wantsToPlay = false; // a frame was meant to be looked at
  root.style.setProperty("--cell", view.size + "px");
  root.style.setProperty("--shape", sweep.shape);
};
const keepAddress = () => {
  const query = new URLSearchParams({ sweep: sweep.id, rows: view.rows ?? "none", columns: view.columns });
  const page = Object.entries(view.at).map(([d, at]) => `${d}.${at}`).join(",");
  for (const [name, value] of Object.entries({ page, measure: view.measure, show: view.numbers ? "numbers" : "", size: view.size, from: window_ || "", frame: playing ? "" : frame + 1 })) {
    if (value) query.set(name, value);
  }
  window.history.replaceState(window.history.state, "", window.location.pathname + "?" + query);
};
const viewOnTheWire = () => ({ rows: view.rows === null ? [] : [view.rows], columns: [view.columns], at: Object.fromEntries(turned().map((d) => [d, view.at[d] || 0])) });

// ---- The tools

const choice = (select, entries, value) => {
  select.replaceChildren(...entries.map(([id, label]) => make("option", { value: id }, label)));
  select.value = value;
};
const drawTools = () => {
  const dimensions = sweep.dimensions.map(({ label }, d) => [String(d), label]);
  choice($("[name=rows]"), [["none", "nothing"], ...dimensions], view.rows === null ? "none" : String(view.rows));
  choice($("[name=columns]"), dimensions, String(view.columns));
  const one = sweep.dimensions.length < 2;
  for (const name of [".sweep-rows-of", ".sweep-columns-of", ".sweep-swap"]) $(name).hidden = one;
  $(".sweep-pages").replaceChildren(
    ...turned().map((d) => {
      const select = make("select", { "data-page": d, "aria-label": sweep.dimensions[d].label });
      choice(select, sweep.dimensions[d].values.map((value, at) => [String(at), value]), String(view.at[d] || 0));
      return make("label", {}, sweep.dimensions[d].label, make("span", { class: "select" }, select));
    }),
  );
  choice($("[name=measure]"), [["", "nothing"], ...sweep.measures.map(([name, label, unit]) => [name, `${label} (${unit})`])], view.measure);
  $("[name=show]").value = view.numbers ? "numbers" : "clips";
  $("[name=size]").value = view.size;
  $(".sweep-exports .actions").replaceChildren(...sweep.exports.map(([kind, label]) => make("button", { type: "button", class: "small", "data-kind": kind }, label)));
};
const readTools = (target) => {
  if (target.name === "rows") {
    const rows = target.value === "none" ? null : Number(target.value);
    if (rows === view.columns) view.columns = view.rows ?? sweep.dimensions.findIndex((_, d) => d !== rows);
    view.rows = rows;
  }
  if (target.name === "columns") {
    if (Number(target.value) === view.rows) view.rows = view.columns;
    view.columns = Number(target.value);
  }
  if (target.dataset.page) view.at[target.dataset.page] = Number(target.value);
  if (target.name === "show") view.numbers = target.value === "numbers";
  if (target.name === "measure") {
    view.measure = target.value;
    measured = new Map();
    if (view.measure) askMeasure();
  }
  changeView();
};
const changeView = () => {
  window_ = 0;
  drawTools();
  layOut();
  drawChosen();
  askSheets();
  settle();
  keepAddress();
};

// ---- The cells

const rowsInSight = () => Math.max(1, Math.floor(MOST_SHOWN[view.numbers ? "numbers" : "clips"] / Math.min(MOST_COLUMNS, shapeOf()[view.columns])));
const lines = () => {
  // The places of what is in sight, line by line.
  const base = sweep.dimensions.map((_, d) => view.at[d] || 0);
  const at = (row, column) => base.map((usual, d) => (d === view.rows ? row : d === view.columns ? column : usual));
  const columns = [...Array(Math.min(MOST_SHOWN.numbers, shapeOf()[view.columns])).keys()];
  if (view.rows === null) {
    const most = MOST_SHOWN[view.numbers ? "numbers" : "clips"];
    return [{ row: 0, cells: columns.slice(window_, window_ + most).map((column) => at(0, column)) }];
  }
  const rows = [...Array(shapeOf()[view.rows]).keys()].slice(window_, window_ + rowsInSight());
  return rows.map((row) => ({ row, cells: columns.map((column) => at(row, column)) }));
};
const layOut = () => {
  const table = $(".sweep-table");
  const flow = view.rows === null;
  const shown = lines();
  table.dataset.flow = String(flow);
  table.dataset.numbers = String(view.numbers);
  table.style.setProperty("--columns", shapeOf()[view.columns]);
  const nodes = [];
  const across = sweep.dimensions[view.columns];
  if (!flow) {
    nodes.push(make("div", { class: "sweep-corner" }, make("span", {}, across.label + " →"), make("span", {}, sweep.dimensions[view.rows].label + " ↓")));
    nodes.push(...across.values.map((value) => make("div", { class: "sweep-above" }, value)));
  }
  for (const { row, cells: places } of shown) {
    if (!flow) nodes.push(make("div", { class: "sweep-beside" }, sweep.dimensions[view.rows].values[row]));
    nodes.push(...places.map((place) => cellOf(numberAt(place), flow ? across.values[place[view.columns]] : "")));
  }
  table.replaceChildren(...nodes);
  for (const node of $$(".sweep-cell")) drawCell(node);
  const whole = flow ? shapeOf()[view.columns] : shapeOf()[view.rows];
  const sight = flow ? shown[0].cells.length : shown.length;
  $(".sweep-window").hidden = sight >= whole;
  $(".sweep-window span").textContent = `${window_ + 1} to ${window_ + sight} of ${whole}`;
  $("[data-window='-1']").disabled = window_ === 0;
  $("[data-window='1']").disabled = window_ + sight >= whole;
  drawPlot();
};
const cellOf = (number, caption) =>
  make(
    "figure",
    { class: "sweep-cell", "data-number": number },
    make("a", { class: "sweep-open" }, make("canvas", { width: 16, height: 9, role: "img", "aria-label": nameOf(number) })),
    make("span", { class: "sweep-words" }),
    make("label", { class: "sweep-pick", hidden: true }, make("input", { type: "checkbox", "aria-label": "Choose " + nameOf(number) })),
    make("span", { class: "sweep-value", hidden: true }),
    caption ? make("figcaption", {}, caption) : null,
  );
const drawCell = (node) => {
  const number = Number(node.dataset.number);
  const cell = cells.get(number) || { state: "out", run: "", said: "" };
  const link = $(".sweep-open", node);
  if (node.dataset.state !== cell.state || node.dataset.run !== cell.run) {
    node.dataset.state = cell.state;
    node.dataset.run = cell.run;
    node.removeAttribute("data-ready");
    if (cell.state === "done" && clips.has(cell.run)) node.dataset.ready = "true";
    if (cell.run) Object.assign(link, { href: "./?run=" + encodeURIComponent(cell.run), title: `${nameOf(number)}: open in Explore` });
    else link.removeAttribute("href");
    $(".sweep-pick", node).hidden = cell.state !== "done";
    if (node.dataset.ready) paintCell(node);
  }
  node.title = cell.said || "";
  say($(".sweep-words", node), cell.state === "done" ? "" : texts.get(number) || [STATE_WORDS[cell.state], cell.said].filter(Boolean).join(": "));
  drawValue(node, number);
};

// ---- A measure as colours, and as a plot

const askMeasure = () => trigger("measure", { id: sweep.id, name: view.measure });
hear("measured", ({ name, values = [] }) => {
  if (name !== view.measure) return;
  measured = new Map(values);
  for (const node of $$(".sweep-cell")) drawValue(node, Number(node.dataset.number));
  drawPlot();
});
const digitsOf = () => sweep.measures.find(([name]) => name === view.measure) || ["", "", "", 2];
const numberSaid = (value) => Number(value).toFixed(digitsOf()[3]).replace("-", "−");
const stretch = () => {
  const values = [...measured.values()];
  return [Math.min(...values), Math.max(...values)];
};
const drawValue = (node, number) => {
  const label = $(".sweep-value", node);
  const known = view.measure && measured.has(number);
  label.hidden = !known;
  node.dataset.measured = String(Boolean(known));
  if (!known) return;
  const [low, high] = stretch();
  const part = high > low ? (measured.get(number) - low) / (high - low) : 0.5;
  label.textContent = numberSaid(measured.get(number));
  label.title = `${digitsOf()[1]} ${label.textContent} ${digitsOf()[2]}`;
  label.style.setProperty("--heat", Math.round(8 + 84 * part) + "%");
  label.dataset.hot = String(part > 0.65);
};
// Of each value that runs across: the mean of all its cells, whatever else they have, and where it would lie 95 times in 100.
const STUDENT = [12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23]; // for 1 to 10 degrees of freedom
const FEWEST = 3; // cells of a value from which it has a mean
const meansAcross = () => {
  const groups = new Map();
  for (const [number, value] of measured) {
    const column = placeOf(number)[view.columns];
    groups.set(column, [...(groups.get(column) || []), value]);
  }
  const found = [...groups].filter(([, values]) => values.length >= FEWEST).map(([column, values]) => {
    const count = values.length;
    const mean = values.reduce((sum, value) => sum + value, 0) / count;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1));
    const reach = ((STUDENT[count - 2] ?? 1.96 + 2.5 / (count - 1)) * spread) / Math.sqrt(count);
    return { column, count, mean, low: mean - reach, high: mean + reach };
  });
  return found.length > 1 ? found.sort((a, b) => a.column - b.column) : [];
};
const drawPlot = () => {
  const figure = $(".sweep-plot");
  $(".choose-best").hidden = !view.measure || !measured.size;
  figure.hidden = !view.measure || !measured.size || !sweep;
  if (figure.hidden) return;
  const [, label, unit] = digitsOf();
  const across = sweep.dimensions[view.columns];
  const xs = across.numbers?.every((x) => typeof x === "number") ? across.numbers : across.values.map((_, at) => at);
  const means = meansAcross();
  const [low, high] = [Math.min(stretch()[0], ...means.map((one) => one.low)), Math.max(stretch()[1], ...means.map((one) => one.high))];
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [wide, tall] = [640, 200];
  const x = (value) => 58 + ((wide - 150) * (value - left)) / (right - left || 1);
  const y = (value) => tall - 34 - ((tall - 52) * (value - low)) / (high - low || 1);
  $("figcaption", figure).textContent = `${label} (${unit}) along ${across.label}`;
  const marks = [low, high].map((value) => svg("text", { x: 52, y: y(value) + 4, "text-anchor": "end" }, numberSaid(value)));
  const every = Math.ceil(xs.length / 8);
  marks.push(...xs.map((value, at) => (at % every ? "" : svg("text", { x: x(value), y: tall - 12, "text-anchor": "middle" }, across.values[at]))));
  const drawn = lines().slice(0, 12);
  const named = [];
  drawn.forEach(({ row, cells: places }, at) => {
    const points = places.map((place) => [place[view.columns], numberAt(place)]).filter(([, number]) => measured.has(number));
    if (!points.length) return;
    const at_ = points.map(([column, number]) => `${x(xs[column])},${y(measured.get(number))}`);
    const part = drawn.length > 1 ? at / (drawn.length - 1) : 0;
    const group = svg("g", { style: `--line: ${Math.round(35 + 65 * part)}%` });
    group.append(svg("polyline", { points: at_.join(" ") }), ...at_.map((point) => svg("circle", { cx: point.split(",")[0], cy: point.split(",")[1], r: 3 })));
    if (view.rows !== null && drawn.length <= 8) {
      const [lx, ly] = at_.at(-1).split(",").map(Number);
      if (!named.some((other) => Math.abs(other - ly) < 11)) group.append(svg("text", { x: lx + 8, y: ly + 4 }, sweep.dimensions[view.rows].values[row]));
      named.push(ly);
    }
    marks.push(group);
  });
  if (means.length) {
    const group = svg("g", { class: "sweep-mean" });
    for (const { column, mean, low: least, high: most, count } of means) {
      const bar = svg("path", { d: `M${x(xs[column])} ${y(least)}V${y(most)}m-4 0h8M${x(xs[column]) - 4} ${y(least)}h8` });
      bar.append(svg("title", {}, `${across.values[column]}: ${numberSaid(mean)} ${unit}, between ${numberSaid(least)} and ${numberSaid(most)}, ${count} cells`));
      group.append(bar, svg("circle", { cx: x(xs[column]), cy: y(mean), r: 4 }));
    }
    group.prepend(svg("polyline", { points: means.map(({ column, mean }) => `${x(xs[column])},${y(mean)}`).join(" ") }));
    marks.push(group);
  }
  say($("p", figure), means.length ? "Dark: the mean of all cells of a value, over whatever else varies, with the interval that would hold it 95 times in 100." : "");
  $("div", figure).replaceChildren(svg("svg", { viewBox: `0 0 ${wide} ${tall}`, role: "img", "aria-label": $("figcaption", figure).textContent }, ...marks));
};
