// Builds elements. Text is only ever set as text; there is no way here to set markup.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// a text of somebody else's: isolated, so that its writing direction cannot reorder what stands around it
export function foreign(text, attributes = {}) {
  const made = document.createElement("bdi");
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

export function show(shown, isShown) {
  shown.hidden = !isShown;
}

export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
