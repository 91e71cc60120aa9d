// One row of pixels over time, of each clip in the player: x across, time downward. A straight edge is a still camera, a
// slant its speed, a wave its sway, noise between the rows flicker. Put behind plots.js, in one function body with it.
const SLICE_TALL = 140; // px of all frames together
let held = []; // what the player holds: [{frames: ImageBitmap[]}]
let sliced = null; // the figure on the page: {canvases, row, hands}

const paintSlices = () => {
  if (!sliced) return;
  sliced.node.hidden = !held.length;
  sliced.canvases.forEach((canvas, side) => {
    const frames = held[side]?.frames || [];
    canvas.parentElement.hidden = !frames.length;
    if (!frames.length) return;
    const band = Math.max(2, Math.round(SLICE_TALL / frames.length));
    const row = Math.min(frames[0].height - 1, Math.floor((sliced.row / 100) * frames[0].height));
    Object.assign(canvas, { width: frames[0].width, height: band * frames.length });
    const pen = canvas.getContext("2d", { alpha: false });
    pen.imageSmoothingEnabled = false;
    frames.forEach((frame, index) => pen.drawImage(frame, 0, row, frame.width, 1, 0, index * band, frame.width, band));
    sliced.node.dataset.painted = frames.length;
  });
};
const slices = (letters) => {
  const canvases = letters.map((letter) => make("canvas", { role: "img", "aria-label": `One row of ${letters.length > 1 ? letter : "the clip"} over time, from the first frame down to the last` }));
  const cursors = canvases.map(() => make("i"));
  const boxes = canvases.map((canvas, side) => make("div", { class: "slice" }, canvas, cursors[side], letters.length > 1 ? make("b", {}, letters[side]) : ""));
  const range = make("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Which row, from the top" });
  const said = make("span", { class: "plot-values" }, "50 % down");
  const node = make("figure", { class: "plot slices", title: "A straight edge is a still camera, a slant its speed, a wave its sway; rows that differ at random are flicker." },
    make("figcaption", {}, make("b", {}, "One row over time"), said), ...boxes, range);
  sliced = { node, canvases, row: 50 };
  range.addEventListener("input", () => {
    sliced.row = Number(range.value);
    said.textContent = `${range.value} % down`;
    paintSlices();
  });
  const seek = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const count = held[boxes.indexOf(event.currentTarget)]?.frames.length || 1;
    tell("seek", { frame: Math.min(count - 1, Math.floor(((event.clientY - box.top) / box.height) * count)) });
  };
  boxes.forEach((box) => box.addEventListener("pointerdown", seek));
  const follow = (frame) => cursors.forEach((cursor, side) => {
    const count = held[side]?.frames.length || 1;
    cursor.style.top = `${(100 * (Math.min(frame, count - 1) + 0.5)) / count}%`;
  });
  paintSlices();
  return { node, follow };
};
hear("clips", ({ clips }) => {
  held = clips;
  paintSlices();
});
