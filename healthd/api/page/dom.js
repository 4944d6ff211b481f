// Elements are made of text only: what servers and people wrote is never HTML.

export const $ = (id) => document.getElementById(id);

/** An element. about: properties; `data` for data-*, `aria` for aria-*. children: elements or texts. */
export function make(tag, about = {}, ...children) {
  const { data = {}, aria = {}, role, ...properties } = about;
  const made = Object.assign(document.createElement(tag), properties);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  if (role) made.setAttribute("role", role);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Write a text if it is another one than before. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set data-* if it is another value than before. */
export function mark(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

/** 4 s, 12 m, 3 h 5 m, 2 d 4 h. */
export function ago(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m`;
  if (whole < 86400) return parts(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "m");
  return parts(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

const parts = (much, unit, more, of) => (more ? `${much} ${unit} ${more} ${of}` : `${much} ${unit}`);

/** Time of day here; with the date if it is another day. */
export function clock(when) {
  const time = new Date(when);
  const day = time.toDateString() === new Date().toDateString() ? "" : `${time.toLocaleDateString("en-CA")} `;
  return day + time.toLocaleTimeString("en-GB");
}
