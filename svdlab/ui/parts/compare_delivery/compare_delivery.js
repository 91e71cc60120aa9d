// Hands over a file that was made on demand. value: {asked, path, name} or {asked, error}
let last = props.value?.asked;
hear("delivering", ({ kind }) => {
  say($(".delivery-error"), "");
  say($(".delivery-words"), `Making the ${kind === "webp" ? "WebP" : "MP4"}.`);
});
watch("value", () => {
  const value = props.value || {};
  if (!value.asked || value.asked === last) return;
  last = value.asked;
  say($(".delivery-words"), "");
  say($(".delivery-error"), value.error);
  tell("delivered", value);
  if (!value.path) return;
  const anchor = make("a", { href: fileUrl(value.path), download: value.name });
  element.append(anchor);
  anchor.click();
  anchor.remove();
});
