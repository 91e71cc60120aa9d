// The line beside Generate: how long, what differs from the preset; hands notes and errors to the controls.
const show = () => {
  const value = props.value || {};
  say($(".advice-estimate"), value.estimate);
  say($(".advice-differs"), value.differs && "Differs from preset: " + value.differs + ".");
  say($(".advice-error"), value.errors?.["*"]);
  $(".advice-reset").hidden = !value.differs;
  tell("advice", value);
  const field = ["checkpoint", "a", "b", "preset"].find((name) => value.errors?.[name]);
  tell("problem", { field, sentence: value.errors?.[field] });
  // After Generate the sentence may stand out of sight.
  if (value.asked) {
    const panel = element.closest(".asking") || document;
    setTimeout(() => panel.querySelector(".error:not([hidden])")?.scrollIntoView({ block: "center", behavior: "smooth" }), 50);
  }
};
$(".advice-reset").addEventListener("click", () => trigger("reset"));
watch("value", show);
show();
