// What comes on the event stream for this element is its value, as if a handler had returned it.
watch = ((heard) => (names, draw) => {
  heard(names, draw);
  document.addEventListener("svdlab:news", ({ detail }) => {
    const name = element.isConnected && element.parentElement.closest("[id]").id; // its own id is Gradio's
    if (!name || !(name in detail)) return;
    props.value = detail[name];
    draw();
  });
})(watch);
