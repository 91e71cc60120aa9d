// The answer to "decode again": goes to the comparison, or says why not. value: {asked, go, error}
let asked = 0;
watch("value", () => {
  const value = props.value || {};
  if (!value.asked || value.asked === asked) return;
  asked = value.asked;
  say($(".error"), value.error);
  if (value.go) window.location.assign(value.go);
});
