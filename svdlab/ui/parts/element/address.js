// The address of a file that the server may show: of a run, or made for whoever asks.
const fileUrl = (path) => {
  const config = window.gradio_config || {};
  const root = (config.root || window.location.origin).replace(/\/$/, "");
  return root + (config.api_prefix || "/gradio_api") + "/file=" + path.split("/").map(encodeURIComponent).join("/");
};
