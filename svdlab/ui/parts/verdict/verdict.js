// What votes say. value: {headline, lines, bars: [{name, low, at, high, said}], two, votes: [{left, right, answer, runs}]}
const root = $(".verdict");
const SAID = { tie: "equally good", "both bad": "both bad" };
const percent = (share) => `${(100 * share).toFixed(1)}%`;

const drawBars = ({ bars, two }) => {
  const holder = $(".verdict-bars");
  holder.hidden = !bars.length;
  holder.dataset.two = String(Boolean(two));
  holder.replaceChildren(
    ...bars.map(({ name, low, at, high, said }) => {
      const track = make("span", { class: "verdict-track", "aria-hidden": "true" });
      const span = make("i");
      Object.assign(span.style, { left: percent(low), width: percent(Math.max(0, high - low)) });
      const dot = make("b");
      dot.style.left = percent(at);
      track.append(span, dot);
      return make("div", { class: "verdict-bar" }, make("span", { class: "verdict-name" }, name), track, make("span", { class: "verdict-said" }, said));
    }),
  );
};
const stood = (name, run, won) => make("a", { class: won ? "won" : "", href: "run?run=" + encodeURIComponent(run) }, name);
const voteLine = ({ left, right, answer, runs }) =>
  make("li", {}, stood(left, runs[0], answer === "left"), " | ", stood(right, runs[1], answer === "right"), SAID[answer] ? make("span", {}, ` · ${SAID[answer]}`) : "");
const draw = (value) => {
  root.hidden = !value.headline;
  if (!value.headline) return;
  say($(".verdict-head"), value.headline);
  $(".verdict-lines").replaceChildren(...value.lines.map((line) => make("li", {}, line)));
  drawBars(value);
  $(".verdict-votes").hidden = !value.votes.length;
  $(".verdict-votes ol").replaceChildren(...value.votes.map(voteLine));
};
watch("value", () => draw(props.value || {}));
hear("verdict", draw);
draw(props.value || {});
