// Each side its own frame count, or the knob's for both. value: {on}
const box = $("input");
let frames = null;
const show = () => {
  const on = Boolean(props.value?.on);
  box.checked = on;
  element.closest(".asking")?.classList.toggle("native-frames", on);
  say($(".option-frames"), frames && (on ? frames.on : frames.off));
};
box.addEventListener("change", () => {
  props.value = { ...(props.value || {}), on: box.checked };
  show();
});
// From the advice: what the two sides were made for, and whether the preset meant another pair.
hear("advice", (advice) => {
  if (advice.errors && Object.keys(advice.errors).length) return;
  frames = advice.frames;
  say($(".option-pair"), advice.pair);
  show();
});
watch("value", show);
show();
