// The LoRA files of the knob panel, whose script calls this: a row each with its strength. `read` gives the rows
// [{id, strength}] of the panel's value, `write` sets them. Returns what draws them.
const loraRows = (section, read, write) => {
  let known = [];
  const rows = $(".lora-rows", section);
  const adder = $(".lora-add", section);
  const row = ({ id, strength }) => {
    const range = make("input", { type: "range", min: -1, max: 2, step: 0.05, "aria-label": "Strength of " + id, value: strength });
    const number = make("input", { class: "number", type: "text", inputmode: "decimal", autocomplete: "off", "aria-label": "Strength of " + id });
    number.value = strength;
    const drop = make("button", { type: "button", class: "icon lora-drop", "aria-label": "Leave " + id + " out", title: "Leave out" }, "×");
    const fill = () => range.style.setProperty("--filled", ((range.value - range.min) / (range.max - range.min)) * 100 + "%");
    const set = (text) => {
      fill();
      write(read().map((one) => (one.id === id ? { id, strength: text } : one)));
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
      write(read().filter((one) => one.id !== id));
      draw();
      adder.focus();
    });
    const said = known.find((one) => one.id === id)?.said;
    fill();
    return make("li", { class: "knob", "data-lora": id }, make("span", { class: "lora-name", title: said }, id), range, number, drop);
  };
  const draw = () => {
    const chosen = read();
    rows.replaceChildren(...chosen.map(row));
    const left = known.filter(({ id }) => !chosen.some((one) => one.id === id));
    adder.replaceChildren(
      make("option", { value: "" }, "Add a LoRA file…"),
      ...left.map(({ id, said }) => make("option", { value: id }, `${id} (${said})`)),
    );
    adder.parentElement.hidden = !left.length;
    section.hidden = !known.length && !chosen.length;
  };
  adder.addEventListener("change", () => {
    if (!adder.value) return;
    write([...read(), { id: adder.value, strength: "1" }]);
    draw();
    rows.lastElementChild?.querySelector("input")?.focus();
  });
  hear("advice", ({ choices, errors = {} }) => {
    if (choices?.loras) {
      known = choices.loras;
      draw();
    }
    say($(".lora-error", section), errors.loras);
    if (errors.loras && section.closest("details")) section.closest("details").open = true;
  });
  return draw;
};
