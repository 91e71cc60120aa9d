// What a sweep will be. value: {line, reasons, counts, error, row}
const show = () => {
  const { line, reasons = [], error, row } = props.value || {};
  const inRow = row !== null && row !== undefined;
  say($(".plan-line"), line);
  $(".plan-reasons").replaceChildren(...reasons.map((reason) => make("li", {}, reason)));
  $(".plan-reasons").hidden = !reasons.length;
  say($(".plan-error"), inRow ? "" : error);
  tell("plan", props.value || {});
};
watch("value", show);
show();
