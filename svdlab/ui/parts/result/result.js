// What stands under the player. value: {run, line, measured, detail, note, words: [[label, value]], recipe, video, frames,
//   decode: {decoders, decoder, chunks: [[frames at once, words]]} or null}
const root = element.firstElementChild;
const draw = () => {
  const value = props.value || {};
  root.hidden = !value.run;
  if (!value.run) return;
  say($(".result-line"), value.line);
  say($(".result-measured"), value.measured);
  say($(".result-detail"), value.detail);
  say($(".result-note > span"), value.note);
  $(".result-note").hidden = !value.note;
  const stem = "svdlab-" + value.run;
  const link = (selector, path, name) => {
    $(selector).hidden = !path;
    if (!path) return;
    $(selector).href = fileUrl(path);
    $(selector).download = name;
  };
  link(".get-video", value.video, stem + ".mp4");
  link(".get-frames", value.frames, stem + "-frames.zip");
  $(".to-compare").href = "compare?from=" + encodeURIComponent(value.run);
  $(".to-sweep").href = "sweep?from=" + encodeURIComponent(value.run);
  $(".show-decode").hidden = !value.decode;
  if (!value.decode) $(".decode").hidden = true;
  else {
    const option = ([key, text], chosen) => make("option", { value: key, selected: key === chosen }, text);
    const { decoders, decoder, chunks } = value.decode;
    const fresh = value.run !== root.dataset.run;
    if (fresh) {
      $(".decode-decoder").replaceChildren(...decoders.map((name) => option([name, name], decoder)));
      $(".decode-chunk").replaceChildren(...chunks.map((chunk) => option(chunk, chunks[chunks.length - 1][0])));
    }
  }
  root.dataset.run = value.run;
  $(".recipe-words").replaceChildren(...(value.words || []).flatMap(([label, text]) => [make("dt", {}, label), make("dd", {}, text)]));
  $(".recipe-json").textContent = value.recipe || "";
};
root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const value = props.value || {};
  if (button.matches(".again")) trigger("again", { run: value.run });
  if (button.matches(".copy-link")) {
    const link = new URL(window.location.href);
    link.search = "?run=" + value.run;
    link.hash = "";
    copyText(link.href, button);
  }
  if (button.matches(".do-decode")) {
    const [decoder, chunk] = [$(".decode-decoder").value, $(".decode-chunk").value];
    trigger("decode", { run: value.run, decoder, chunk });
  }
  if (button.matches(".copy-recipe")) copyText(value.recipe, button);
  if (button.matches(".show-recipe, .show-decode")) {
    const panel = $(button.matches(".show-recipe") ? ".recipe" : ".decode");
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
  }
});
watch("value", draw);
draw();
