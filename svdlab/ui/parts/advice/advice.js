// The line beside Generate: how long, what differs from the preset; hands notes and errors to the controls.
// What was refused comes by itself and stands until something is changed: answers to earlier changes may come after it.
let refused = null;
const panel = element.closest(".asking") || document;
const show = () => {
  const value = props.value || {};
  const errors = { ...value.errors, ...refused };
  say($(".advice-estimate"), value.estimate);
  say($(".advice-differs"), value.differs && "Differs from preset: " + value.differs + ".");
  say($(".advice-error"), errors["*"]);
  $(".advice-reset").hidden = !value.differs;
  tell("advice", { ...value, errors });
  const field = ["checkpoint", "a", "b", "preset"].find((name) => errors[name]);
  tell("problem", { field, sentence: errors[field] });
};
hear("refused", ({ errors }) => {
  refused = errors;
  show();
  // It may stand out of sight.
  setTimeout(() => panel.querySelector(".error:not([hidden])")?.scrollIntoView({ block: "center", behavior: "smooth" }), 50);
});
for (const kind of ["input", "change"])
  panel.addEventListener(
    kind,
    () => {
      if (!refused) return;
      refused = null;
      show();
    },
    true,
  );
$(".advice-reset").addEventListener("click", () => trigger("reset"));
watch("value", show);
show();
