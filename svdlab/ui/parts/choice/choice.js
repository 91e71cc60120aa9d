const select = $("select");
let notes = JSON.parse(element.firstElementChild.dataset.notes);
let problem = "";
const show = () => {
  const id = props.value ?? "";
  if (select.value !== id) select.value = id;
  const note = notes[id] || {};
  say($(".choice-summary"), note.summary);
  say($(".choice-look"), note.look && "Look for: " + note.look);
  sayLinked($(".choice-state"), problem ? "" : note.state);
  sayLinked($(".choice-error"), problem);
};
select.addEventListener("change", () => {
  problem = "";
  props.value = select.value;
  show();
  trigger("input");
});
hear("problem", (detail) => {
  problem = detail.field === element.firstElementChild.dataset.field ? detail.sentence : "";
  show();
});
// Weights may have been added since the app was started.
hear("advice", ({ choices }) => {
  if (!choices?.sides.includes(element.firstElementChild.dataset.field)) return;
  notes = choices.notes;
  const option = ([id, text]) => make("option", { value: id }, text);
  const groups = Object.entries(choices.groups).filter(([, entries]) => entries.length);
  select.replaceChildren(...groups.map(([label, entries]) => make("optgroup", { label }, ...entries.map(option))));
  show();
});
watch("value", () => {
  problem = "";
  show();
});
show();
