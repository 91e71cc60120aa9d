// The address of something of this server's.
const serverUrl = (path) => ((window.gradio_config || {}).root || window.location.origin).replace(/\/$/, "") + path;
// The address of a file that the server may show: of a run, or made for whoever asks.
const fileUrl = (path) =>
  serverUrl(((window.gradio_config || {}).api_prefix || "/gradio_api") + "/file=" + path.split("/").map(encodeURIComponent).join("/"));
