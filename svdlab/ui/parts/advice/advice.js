// The line beside Generate: how long, what differs from the preset; hands notes and errors to the controls.
// What was refused stands until something is changed: on a slow line the answer to the last change may come after it.
let refused = null;
const panel = element.closest(".asking") || document;
for (const kind of ["input", "change"]) panel.addEventListener(kind, () => (refused = null), true);
const show = () => {
  let value = props.value || {};
  if (value.asked) refused = value.errors;
  else if (refused && !Object.keys(value.errors || {}).length) value = { ...value, errors: refused };
  say($(".advice-estimate"), value.estimate);
  say($(".advice-differs"), value.differs && "Differs from preset: " + value.differs + ".");
  say($(".advice-error"), value.errors?.["*"]);
  $(".advice-reset").hidden = !value.differs;
  tell("advice", value);
  const field = ["checkpoint", "a", "b", "preset"].find((name) => value.errors?.[name]);
  tell("problem", { field, sentence: value.errors?.[field] });
  // After Generate the sentence may stand out of sight.
  if (value.asked) {
    setTimeout(() => panel.querySelector(".error:not([hidden])")?.scrollIntoView({ block: "center", behavior: "smooth" }), 50);
  }
};
$(".advice-reset").addEventListener("click", () => trigger("reset"));
watch("value", show);
show();
