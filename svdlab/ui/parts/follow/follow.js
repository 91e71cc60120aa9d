// Follows something on the server's event stream and tells the page what comes: {id of an element: its value}.
// value: {page, id, before, mine, turn}; a new one ends the following of the one before.
let source = null;
let later = 0;
const follow = () => {
  source?.close();
  clearTimeout(later);
  const { page, id, before, mine = [] } = props.value || {};
  if (!page) return;
  const query = new URLSearchParams({ id, before: before ? "1" : "", mine: mine.join(",") });
  const present = (source = new EventSource(serverUrl(`/follow/${page}?${query}`)));
  present.onmessage = (event) => present === source && tell("news", JSON.parse(event.data));
  present.addEventListener("end", () => present.close());
  // The browser goes on by itself where a connection breaks; where it was refused, it is tried again here.
  present.onerror = () => {
    if (present === source && present.readyState === EventSource.CLOSED) later = setTimeout(follow, 3000 + 4000 * Math.random());
  };
};
watch("value", follow);
follow();
