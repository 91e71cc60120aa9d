// Where both clips will be: the picture as both models will see it, until there is something to play.
// Above the player it says which side could not be rendered.
// value: {mode: idle|shown, sentence, problems: [], comparison, action}
const root = $(".pair-stage");
const stills = $$(".pair-still");
let knobs = {};
let picture = {};

const draw = () => {
  const value = props.value || {};
  element.closest(".showing")?.setAttribute("data-mode", value.mode || "idle");
  const clip = clipOf(knobs, { width: 1024, height: 576 });
  root.style.setProperty("--shape", clip.width / clip.height);
  for (const still of stills) {
    if (picture.preview && still.getAttribute("src") !== picture.preview) still.src = picture.preview;
    still.hidden = !picture.preview;
    if (picture.preview) putFitted(still, picture, clip, knobs);
  }
  root.dataset.ended = String(Boolean(value.sentence));
  say($(".pair-sentence"), value.sentence);
  const problems = value.problems || [];
  $(".problems ul").replaceChildren(...problems.map((line) => make("li", {}, line)));
  $(".problems").hidden = !problems.length;
  for (const button of $$(".retry")) say(button, { resume: "Resume", again: "Try again" }[value.action]);
  say($(".pair-hint"), value.sentence || !picture.preview ? "" : "As both models will see it");
};
for (const button of $$(".retry"))
  button.addEventListener("click", () => trigger("retry", { comparison: props.value?.comparison }));
hear("knobs", (value) => {
  knobs = value;
  draw();
});
hear("picture", (value) => {
  picture = value;
  draw();
});
hear("advice", ({ names }) => names && $$(".pair-name").forEach((node, side) => (node.textContent = names[side])));
watch("value", draw);
draw();
