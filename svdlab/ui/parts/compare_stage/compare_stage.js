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
  const [width, height] = [Number(knobs.width) || 16, Number(knobs.height) || 9];
  root.style.setProperty("--shape", width / height);
  const fit = knobs.fit || "crop";
  const percent = (x) => 100 * Math.min(1, Math.max(0, Number(x ?? 0.5) || 0)) + "%";
  for (const still of stills) {
    if (picture.preview && still.getAttribute("src") !== picture.preview) still.src = picture.preview;
    still.hidden = !picture.preview;
    still.style.objectFit = { crop: "cover", pad: "contain", stretch: "fill" }[fit];
    still.style.background = fit === "pad" ? "#000" : "";
    still.style.objectPosition = fit === "crop" ? `${percent(knobs.focus_x)} ${percent(knobs.focus_y)}` : "center";
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
