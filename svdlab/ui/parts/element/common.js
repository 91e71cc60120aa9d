// Runs in front of every element's own script: `element`, `props`, `trigger`, `watch`, `upload` come from Gradio.
const $ = (selector, from = element) => from.querySelector(selector);
const $$ = (selector, from = element) => Array.from(from.querySelectorAll(selector));
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
};
const svg = (tag, attributes, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const say = (node, text) => {
  node.textContent = text || "";
  node.hidden = !text;
};
// Sentences may name a page to visit; only https addresses become links.
const sayLinked = (node, text) => {
  node.replaceChildren(
    ...(text || "").split(/(https:\/\/[^\s,;]+)/).map((part) =>
      part.startsWith("https://") ? make("a", { href: part, target: "_blank", rel: "noopener" }, part.replace("https://", "")) : part,
    ),
  );
  node.hidden = !text;
};
const tell = (name, detail) => document.dispatchEvent(new CustomEvent("svdlab:" + name, { detail }));
const hear = (name, handler) => document.addEventListener("svdlab:" + name, (event) => element.isConnected && handler(event.detail));
const copyText = async (text, button) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "offscreen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1400);
};
