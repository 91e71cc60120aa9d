// Where the clip will be: the picture as the model will see it, then the clip as it forms, then the player's place.
// value: {mode: idle|working|ended|shown, text, fraction, preview, width, height, run, action, sentence}
const root = element.firstElementChild;
const still = $(".still");
const preview = $(".preview");
let knobs = {};
let picture = {};
let lastRun = null;

const draw = () => {
  const value = props.value || {};
  const mode = value.mode || "idle";
  root.dataset.mode = mode;
  element.closest(".stage-holder")?.setAttribute("data-mode", mode);
  const working = mode === "working";
  const clip = clipOf(working ? value : knobs, { width: 1024, height: 576 });
  root.style.setProperty("--shape", clip.width / clip.height);
  if (picture.preview && still.getAttribute("src") !== picture.preview) still.src = picture.preview;
  still.hidden = !picture.preview;
  if (picture.preview) putFitted(still, picture, clip, knobs);
  if (value.run !== lastRun) {
    preview.removeAttribute("src");
    lastRun = value.run;
  }
  if (working && value.preview) preview.src = value.preview;
  preview.hidden = !working || !preview.getAttribute("src");
  say($(".stage-text"), working ? value.text : "");
  $(".meter > div").style.width = 100 * (value.fraction || 0) + "%";
  $(".meter").setAttribute("aria-valuenow", Math.round(100 * (value.fraction || 0)));
  $(".working").hidden = !working;
  $(".cancel").disabled = Boolean(value.cancelling);
  say($(".stage-sentence"), mode === "ended" ? value.sentence : "");
  const action = $(".stage-action");
  say(action, mode === "ended" ? { resume: "Resume", again: "Try again" }[value.action] : "");
  say($(".stage-hint"), mode === "idle" && picture.preview ? "As the model will see it" : "");
};

$(".cancel").addEventListener("click", () => {
  $(".cancel").disabled = true;
  $(".stage-text").textContent = "Stopping.";
  trigger("stop", { run: props.value?.run });
});
$(".stage-action").addEventListener("click", () => trigger("retry", { run: props.value?.run }));
hear("knobs", (value) => {
  knobs = value;
  draw();
});
hear("picture", (value) => {
  picture = value;
  draw();
});
watch("value", draw);
draw();
