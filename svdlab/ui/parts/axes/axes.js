// The rows of what varies. value: {rows: [{name, values, with, pictures: [[sha256, name]]}], skip}
const root = element.firstElementChild;
const names = JSON.parse(root.dataset.names);
const ready = JSON.parse(root.dataset.ready);
const hints = JSON.parse(root.dataset.hints);
const labels = Object.fromEntries(names);
let changed = 0;

$(".ready").append(...ready.map(({ id, name }) => make("option", { value: id }, name)));

const rows = () => (props.value || {}).rows || [];
// Said a moment later: nobody waits for a plan of half a number.
const set = (next, now = false) => {
  props.value = { ...(props.value || {}), ...next };
  clearTimeout(changed);
  changed = setTimeout(() => trigger("change"), now ? 0 : 350);
};
const change = (place, next, now) => set({ rows: rows().map((row, at) => (at === place ? { ...row, ...next } : row)) }, now);

const picturesOf = (row, place) =>
  make(
    "div",
    { class: "axis-pictures" },
    ...(row.pictures || []).map(([sha256, name]) =>
      make("span", { class: "chip" }, name, make("button", { type: "button", class: "drop-picture", "data-sha256": sha256, "aria-label": `Leave ${name} out` }, "×")),
    ),
    make("button", { type: "button", class: "small keep", "data-place": place }, "Add the picture above"),
  );
const valuesOf = (row, place) => {
  if (row.name === "picture") return picturesOf(row, place);
  const field = make("input", { type: "text", class: "values", value: row.values || "", spellcheck: "false", autocomplete: "off", placeholder: "20, 80, 127", "aria-label": `Values of ${labels[row.name]}`, list: hints[row.name] ? `hints-${row.name}` : null });
  return field;
};
const draw = () => {
  const had = document.activeElement;
  const kept = element.contains(had) && had.matches(".values, .skip");
  if (kept && $$(".axis").length === rows().length) return counts(); // typing goes on
  $(".axes-rows").replaceChildren(
    ...rows().map((row, place) =>
      make(
        "li",
        { class: "axis", "data-place": place, "data-with": String(Boolean(row.with)) },
        make(
          "div",
          { class: "axis-line" },
          make("span", { class: "select" }, choose(row.name)),
          valuesOf(row, place),
          make("button", { type: "button", class: "icon remove", "aria-label": `Remove ${labels[row.name]}` }, "×"),
        ),
        make(
          "div",
          { class: "axis-under" },
          make("span", { class: "help axis-count" }),
          place ? make("label", { class: "tick" }, make("input", { type: "checkbox", class: "with", checked: Boolean(row.with) }), "with the one above") : null,
        ),
        make("p", { class: "error axis-error", role: "alert", hidden: true }),
      ),
    ),
  );
  const skip = (props.value || {}).skip || "";
  if ($(".skip").value !== skip) $(".skip").value = skip;
  if (skip) $(".axes-rules").open = true;
  counts();
};
const choose = (name) => {
  const select = make("select", { class: "name", "aria-label": "What varies" }, ...names.map(([id, label]) => make("option", { value: id }, label)));
  select.value = name;
  return select;
};
for (const [name, choices] of Object.entries(hints)) {
  root.append(make("datalist", { id: `hints-${name}` }, make("option", { value: choices.map(([id]) => id).join(", ") }), ...choices.map(([id, label]) => make("option", { value: id }, label))));
}

let said = {};
const counts = () => {
  $$(".axis").forEach((row, place) => {
    const count = (said.counts || [])[place];
    say($(".axis-count", row), count ? `${count} ${count === 1 ? "value" : "values"}` : "");
    say($(".axis-error", row), said.row === place ? said.error : "");
    $(".values", row)?.setAttribute("aria-invalid", String(said.row === place));
  });
};

root.addEventListener("input", ({ target }) => {
  const place = Number(target.closest(".axis")?.dataset.place);
  if (target.matches(".values")) change(place, { values: target.value });
  if (target.matches(".skip")) set({ skip: target.value });
});
root.addEventListener("change", ({ target }) => {
  const place = Number(target.closest(".axis")?.dataset.place);
  if (target.matches(".name")) {
    change(place, { name: target.value, values: "", pictures: [] }, true);
    draw();
    $$(".axis")[place].querySelector(".values")?.focus();
  }
  if (target.matches(".with")) change(place, { with: target.checked }, true);
  if (target.matches(".ready")) {
    const chosen = ready.find(({ id }) => id === target.value);
    say($(".axes-summary"), chosen?.summary);
    target.value = "";
    if (!chosen) return;
    set({ rows: chosen.rows.map((row) => ({ ...row })), skip: "" }, true);
    draw();
  }
});
root.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const place = Number(button.closest(".axis")?.dataset.place);
  if (button.matches(".add")) {
    const unused = names.find(([id]) => !["checkpoint", "lora", "preset", "picture"].includes(id) && !rows().some((row) => row.name === id));
    set({ rows: [...rows(), { name: unused ? unused[0] : "seed", values: "", with: false }] }, true);
    draw();
    $$(".axis .name").at(-1).focus();
  }
  if (button.matches(".remove")) {
    set({ rows: rows().filter((_, at) => at !== place) }, true);
    draw();
    ($$(".axis .values")[Math.max(0, place - 1)] || $(".add")).focus();
  }
  if (button.matches(".keep")) trigger("keep", { place });
  if (button.matches(".drop-picture")) {
    change(place, { pictures: rows()[place].pictures.filter(([sha256]) => sha256 !== button.dataset.sha256) }, true);
    draw();
  }
});
root.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches(".values")) return;
  event.preventDefault();
  trigger("submit");
});
hear("kept", ({ place, sha256, name }) => {
  const row = rows()[place];
  if (!row || row.name !== "picture" || (row.pictures || []).some(([other]) => other === sha256)) return;
  change(place, { pictures: [...(row.pictures || []), [sha256, name]] }, true);
  draw();
});
hear("plan", (plan) => {
  said = plan;
  counts();
});
watch("value", draw);
draw();
