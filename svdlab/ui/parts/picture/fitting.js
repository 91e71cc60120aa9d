// How a picture meets a clip's shape, as svdlab/clips/fitting.py has it; both are tested on tests/clips/crop_cases.json.
// Put in front of the scripts that show it, in one function body with them.
//
// Sizes are {width, height}, boxes [left, top, right, bottom]: `box` the part of the picture that is used, in its pixels,
// `place` where that part lies in the clip, in the clip's.
const nearest = (x) => {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x); // halves to the even one
};
const fitting = (picture, clip, fit = "crop", focus = [0.5, 0.5]) => {
  const box = [0, 0, picture.width, picture.height];
  const place = [0, 0, clip.width, clip.height];
  if (fit === "crop") {
    const width = Math.min(picture.width, Math.max(1, nearest((picture.height * clip.width) / clip.height)));
    const height = Math.min(picture.height, Math.max(1, nearest((picture.width * clip.height) / clip.width)));
    const [left, top] = [nearest((picture.width - width) * focus[0]), nearest((picture.height - height) * focus[1])];
    return { box: [left, top, left + width, top + height], place };
  }
  if (fit === "pad") {
    const scale = Math.min(clip.width / picture.width, clip.height / picture.height);
    const width = Math.min(clip.width, Math.max(1, nearest(picture.width * scale)));
    const height = Math.min(clip.height, Math.max(1, nearest(picture.height * scale)));
    const [left, top] = [Math.floor((clip.width - width) / 2), Math.floor((clip.height - height) / 2)];
    return { box, place: [left, top, left + width, top + height] };
  }
  return { box, place };
};

// What the knobs say, typed as it may be.
const clipOf = (knobs, otherwise) => {
  const [width, height] = [Number(knobs.width), Number(knobs.height)];
  return width > 0 && height > 0 ? { width, height } : otherwise;
};
const focusOf = (knobs) => [knobs.focus_x, knobs.focus_y].map((part) => Math.min(1, Math.max(0, Number(part ?? 0.5) || 0)));

// Puts an image of the whole picture into a view of the clip's shape, so that the view shows what the model will see.
const putFitted = (image, picture, clip, knobs) => {
  const fit = knobs.fit || "crop";
  const { box, place } = fitting(picture, clip, fit, focusOf(knobs));
  const along = (start, whole, clipSide) => {
    const scale = (place[start + 2] - place[start]) / (box[start + 2] - box[start]);
    return [(100 * (place[start] - box[start] * scale)) / clipSide + "%", (100 * whole * scale) / clipSide + "%"];
  };
  const [left, width] = along(0, picture.width, clip.width);
  const [top, height] = along(1, picture.height, clip.height);
  Object.assign(image.style, { inset: "auto", left, top, width, height });
  image.parentElement.style.background = fit === "pad" ? "#000" : "";
};
