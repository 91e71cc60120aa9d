// The LoRA files of the knob panel, whose script calls this: a row each with its strength, and with its side where
// there are two. `read` gives the rows [{id, strength, on}] of the panel's value, `write` sets them. Returns what draws.
const loraRows = (section, read, write) => {
  let known = [];
  let sides = [];
  const rows = $(".lora-rows", section);
  const adder = $(".lora-add", section);
  const change = (place, what) => write(read().map((one, i) => (i === place ? { ...one, ...what } : one)));
  // On two sides a file may be on each with a strength of its own.
  const room = (id) => {
    const uses = read().filter((one) => one.id === id);
    return !uses.length || (sides.length > 1 && uses.length < sides.length && uses.every((one) => one.on));
  };
  const row = ({ id, strength, on }, place) => {
    const range = make("input", { type: "range", min: -1, max: 2, step: 0.05, "aria-label": "Strength of " + id, value: strength });
    const number = make("input", { class: "number", type: "text", inputmode: "decimal", autocomplete: "off", "aria-label": "Strength of " + id });
    number.value = strength;
    const drop = make("button", { type: "button", class: "icon lora-drop", "aria-label": "Leave " + id + " out", title: "Leave out" }, "×");
    const fill = () => range.style.setProperty("--filled", ((range.value - range.min) / (range.max - range.min)) * 100 + "%");
    const set = (text) => {
      fill();
      change(place, { strength: text });
    };
    range.addEventListener("input", () => {
      number.value = range.value;
      set(range.value);
    });
    number.addEventListener("input", () => {
      if (number.value !== "" && !isNaN(Number(number.value))) range.value = number.value;
      set(number.value);
    });
    drop.addEventListener("click", () => {
      write(read().filter((_, i) => i !== place));
      draw();
      adder.focus();
    });
    const said = known.find((one) => one.id === id)?.said;
    fill();
    const parts = [make("span", { class: "lora-name", title: said }, id), range, number, drop];
    if (sides.length > 1) {
      const side = make(
        "select",
        { class: "lora-side", "aria-label": "Side of " + id },
        make("option", { value: "" }, "Both"),
        ...sides.map((name) => make("option", { value: name }, name.toUpperCase())),
      );
      side.value = on || "";
      side.addEventListener("change", () => {
        change(place, { on: side.value });
        draw();
      });
      parts.splice(1, 0, make("div", { class: "select" }, side));
    }
    return make("li", { class: "knob", "data-lora": id, "data-sides": sides.length }, ...parts);
  };
  const draw = () => {
    const chosen = read();
    rows.replaceChildren(...chosen.map(row));
    const left = known.filter(({ id }) => room(id));
    adder.replaceChildren(
      make("option", { value: "" }, "Add a LoRA file…"),
      ...left.map(({ id, said }) => make("option", { value: id }, `${id} (${said})`)),
    );
    adder.parentElement.hidden = !left.length;
    section.hidden = !known.length && !chosen.length;
  };
  adder.addEventListener("change", () => {
    if (!adder.value) return;
    const taken = read().filter((one) => one.id === adder.value).map((one) => one.on);
    const on = taken.length ? sides.find((name) => !taken.includes(name)) : "";
    write([...read(), { id: adder.value, strength: "1", on }]);
    draw();
    rows.lastElementChild?.querySelector("input")?.focus();
  });
  hear("advice", ({ choices, errors = {} }) => {
    if (choices?.loras) {
      known = choices.loras;
      sides = choices.sides;
      draw();
    }
    say($(".lora-error", section), errors.loras);
    if (errors.loras && section.closest("details")) section.closest("details").open = true;
  });
  return draw;
};
