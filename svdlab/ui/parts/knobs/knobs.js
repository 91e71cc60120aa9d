// The knob panel. value: {knob: text or number, …, "_lock": bool, …}; unknown keys are kept as they came.
const root = element.firstElementChild;
const cells = Object.fromEntries($$("[data-knob]").map((cell) => [cell.dataset.knob, cell]));
const fields = (cell) => $$("input:not([type=range]):not([type=checkbox])", cell);
const clean = (number) => String(Number(Number(number).toFixed(6)));

const read = (cell) => {
  const radio = $("input[type=radio]:checked", cell);
  return radio ? radio.value : $("input.number", cell)?.value ?? "";
};

const write = (cell, value) => {
  const text = value === null || value === undefined ? "" : String(value);
  const radios = $$("input[type=radio]", cell);
  if (radios.length) radios.forEach((radio) => (radio.checked = radio.value === text));
  const number = $("input.number", cell);
  if (number && number.value !== text) number.value = text;
  slide(cell, text);
};

const slide = (cell, text) => {
  const range = $("input[type=range]", cell);
  if (!range) return;
  const value = text === "" || isNaN(Number(text)) ? Number(range.min) : Number(text);
  range.value = value;
  const shown = Math.min(Number(range.max), Math.max(Number(range.min), value));
  range.style.setProperty("--filled", ((shown - range.min) / (range.max - range.min)) * 100 + "%");
};

const live = () => {
  const value = props.value || {};
  const fps = Number(value.fps);
  const own = value.playback_fps === "" || value.playback_fps === null || value.playback_fps === undefined;
  const plays = own ? fps : Number(value.playback_fps);
  const frames = Number(value.num_frames);
  say($(".knob-live", cells.fps), Number.isInteger(fps) && fps > 0 ? `The model sees ${fps - 1}; plays at ${clean(plays)}.` : "");
  say($(".knob-live", cells.num_frames), frames > 0 && plays > 0 ? `${(frames / plays).toFixed(1)} s at ${clean(plays)} fps.` : "");
  $(".lock", root).setAttribute("aria-pressed", String(value._lock !== false));
  $(".lock", root).title = value._lock === false ? "Unlocked: a new seed for every run" : "Locked: the same seed for every run";
  say($(".knob-live", cells.seed), value._lock === false ? "A new seed for every run." : "");
  tell("knobs", { ...value });
};

const set = (changes) => {
  props.value = { ...(props.value || {}), ...changes };
  live();
};

const drawLoras = loraRows($(".loras", root), () => props.value?._loras || [], (rows) => set({ _loras: rows }));

const show = () => {
  const value = props.value || {};
  for (const [name, cell] of Object.entries(cells)) if (name in value) write(cell, value[name]);
  drawLoras();
  live();
};

root.addEventListener("input", (event) => {
  const cell = event.target.closest("[data-knob]");
  if (!cell) return;
  if (event.target.type === "range") $("input.number", cell).value = clean(event.target.value);
  else slide(cell, read(cell));
  if (event.target.type === "range") slide(cell, event.target.value);
  set({ [cell.dataset.knob]: read(cell) });
});

root.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("input")) {
    event.preventDefault();
    trigger("submit");
  }
  const cell = event.target.closest("[data-knob]");
  const step = Number(cell?.dataset.step);
  if (step && event.target.matches("input.number") && ["ArrowUp", "ArrowDown"].includes(event.key) && cell.dataset.knob !== "seed") {
    const number = Number(event.target.value);
    if (event.target.value === "" || isNaN(number)) return;
    event.preventDefault();
    const moved = number + (event.key === "ArrowUp" ? step : -step);
    event.target.value = clean(Math.min(Number(cell.dataset.max), Math.max(Number(cell.dataset.min), moved)));
    event.target.dispatchEvent(new Event("input", { bubbles: true }));
  }
});

root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.classList.contains("why")) {
    const more = document.getElementById(button.getAttribute("aria-controls"));
    more.hidden = !more.hidden;
    button.setAttribute("aria-expanded", String(!more.hidden));
  } else if (button.classList.contains("dice")) {
    const seed = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    write(cells.seed, seed);
    set({ seed });
  } else if (button.classList.contains("lock")) {
    set({ _lock: props.value?._lock === false });
  }
});

// From the picture: its frame was dragged.
hear("focus", ({ x, y }) => {
  const focus = { focus_x: clean(x.toFixed(2)), focus_y: clean(y.toFixed(2)) };
  for (const [name, value] of Object.entries(focus)) write(cells[name], value);
  set(focus);
});

// From the picture: a native size that fits it, or the other.
hear("size", (size) => {
  for (const [name, value] of Object.entries(size)) write(cells[name], value);
  set({ width: String(size.width), height: String(size.height) });
});

// From the advice: what stands under which control, and the checkpoint's size step.
hear("advice", ({ notes = {}, errors = {}, size_step }) => {
  for (const [name, cell] of Object.entries(cells)) {
    say($(".knob-note", cell), (notes[name] || []).join(" "));
    say($(".knob-error", cell), errors[name]);
    fields(cell).forEach((field) => field.setAttribute("aria-invalid", String(Boolean(errors[name]))));
    if (size_step && ["width", "height"].includes(name)) {
      cell.dataset.step = size_step;
      $("input[type=range]", cell).step = size_step;
      slide(cell, read(cell));
    }
    if (errors[name] && cell.closest("details")) cell.closest("details").open = true;
  }
});
watch("value", show);
show();
