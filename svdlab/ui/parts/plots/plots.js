// Lines over frames that follow the player, and the camera's path. Put in front of a part's own script.
// plots: {lines: [{label, unit, digits, help, sides: [[number or null, …]]}], paths: [[[x, y], …]]}; letters name the sides.
const PLOT = { width: 240, height: 56, edge: 4 };

const plotted = (line, letters) => {
  const known = line.sides.flat().filter((one) => one !== null);
  const count = Math.max(...line.sides.map((side) => side.length));
  const [low, high] = [Math.min(0, ...known), Math.max(0, ...known)];
  const span = high - low || 1;
  const x = (frame) => PLOT.edge + (frame / Math.max(1, count - 1)) * (PLOT.width - 2 * PLOT.edge);
  const y = (one) => PLOT.height - PLOT.edge - ((one - low) / span) * (PLOT.height - 2 * PLOT.edge);
  const said = (one) => {
    if (one === null || one === undefined) return "–";
    const text = one.toFixed(line.digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"); // nothing has no sign
  };
  const picture = svg("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", preserveAspectRatio: "none" });
  picture.setAttribute("aria-label", `${line.label}, frame by frame: ${said(Math.min(...known))} to ${said(Math.max(...known))} ${line.unit}`);
  picture.append(svg("line", { class: "zero", x1: 0, x2: PLOT.width, y1: y(0), y2: y(0) }));
  line.sides.forEach((side, place) => {
    let path = "";
    side.forEach((one, frame) => {
      if (one !== null) path += `${path && side[frame - 1] !== null && frame ? "L" : "M"}${x(frame).toFixed(1)} ${y(one).toFixed(1)}`;
    });
    picture.append(svg("path", { "data-side": letters[place] || "A", d: path }));
  });
  const cursor = svg("line", { class: "cursor", y1: 0, y2: PLOT.height });
  picture.append(cursor);
  const values = make("span", { class: "plot-values" });
  const follow = (frame) => {
    const at = Math.min(frame, count - 1);
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    values.textContent = line.sides.map((side, place) => (letters.length > 1 ? letters[place] + " " : "") + said(side[at])).join(" · ") + " " + line.unit;
  };
  const seek = (event) => {
    const box = picture.getBoundingClientRect();
    tell("seek", { frame: Math.round(((event.clientX - box.left) / box.width) * (count - 1)) });
  };
  picture.addEventListener("pointerdown", seek);
  picture.addEventListener("pointermove", (event) => event.buttons === 1 && seek(event));
  return { node: make("figure", { class: "plot", title: line.help }, make("figcaption", {}, make("b", {}, line.label), values), picture), follow };
};

const pathOf = (paths, letters) => {
  const all = paths.flat();
  if (all.length < 2) return null;
  const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
  const reach = Math.max(2, ...xs.map(Math.abs), ...ys.map(Math.abs)) * 1.15;
  const picture = svg("svg", { viewBox: `${-reach} ${-reach} ${2 * reach} ${2 * reach}`, role: "img", "aria-label": "The way the content takes, from the middle" });
  picture.append(svg("path", { class: "zero", d: `M${-reach} 0H${reach}M0 ${-reach}V${reach}` }));
  const dots = paths.map((path, place) => {
    const side = { "data-side": letters[place] || "A" };
    picture.append(svg("polyline", { ...side, points: path.map((one) => one.join(",")).join(" ") }));
    const dot = svg("circle", { ...side, r: reach / 22 });
    picture.append(dot);
    return dot;
  });
  const follow = (frame) => dots.forEach((dot, place) => {
    const [x, y] = paths[place][Math.min(frame, paths[place].length - 1)] || [0, 0];
    dot.setAttribute("cx", x);
    dot.setAttribute("cy", y);
  });
  const scale = make("span", { class: "plot-values" }, `to ${reach.toFixed(0)} px each way`);
  return { node: make("figure", { class: "plot camera-path" }, make("figcaption", {}, make("b", {}, "Way of the content"), scale), picture), follow };
};

let following = [];
const drawPlots = (box, plots, letters) => {
  box.hidden = !plots;
  following = plots ? [pathOf(plots.paths, letters), ...plots.lines.map((line) => plotted(line, letters)), slices(letters)].filter(Boolean) : [];
  $(".plots-grid", box).replaceChildren(...following.map(({ node }) => node));
  following.forEach(({ follow }) => follow(0));
};
hear("frame", ({ frame }) => following.forEach(({ follow }) => follow(frame)));
