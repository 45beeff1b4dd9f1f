// What every part of the page needs: elements, the server, messages, colours.

export const $ = (id) => document.getElementById(id);
export const token = new URLSearchParams(location.search).get("token") || "";

/** An element: h("button", {class: "main", onclick: f}, "text", …). Text is never read as HTML. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Put other children into an element; who is in it with the keyboard stays at that place. */
export function refill(element, ...children) {
  const places = () => [...element.querySelectorAll("button, a")];
  const at = places().indexOf(document.activeElement);
  element.replaceChildren(...children);
  if (at >= 0) places()[Math.min(at, places().length - 1)]?.focus();
}

/** What the browser keeps of this page, where it may (else it throws). */
export function kept(name, value) {
  try {
    if (value !== undefined) localStorage.setItem(name, value);
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export class Refused extends Error {}

/** Ask the server; JSON in, JSON out. Throws with what it says. */
export async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { "X-Token": token },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("The program does not answer. Is it still running?");
  }
  if (answer.status === 403) {
    throw new Refused("The program was started anew: open the address that it printed now. Your clips are still there.");
  }
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || `The program answered ${answer.status}.`);
  return said;
}

/** The address of a picture or file, with the token. */
export function place(path, query = {}) {
  return `${path}?${new URLSearchParams({ ...query, token })}`;
}

let hiding;
/** Say something at the top of the page; nothing hides it again. */
export function say(text, seconds = 12) {
  clearTimeout(hiding);
  $("message").hidden = !text;
  $("message").textContent = text || "";
  if (text && seconds) hiding = setTimeout(() => say(""), seconds * 1000);
}

/** Run what may fail, and say why it did. */
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message, error instanceof Refused ? 0 : 12);
    return undefined;
  }
}

const hues = new Map();
const dark = matchMedia("(prefers-color-scheme: dark)");
/** A colour for a name, always the same on this page. */
export function colour(name) {
  if (!hues.has(name)) hues.set(name, (hues.size * 137.5 + 215) % 360);
  return `hsl(${hues.get(name)} 60% ${dark.matches ? 66 : 36}%)`;
}

/** How a network looks at what it sees, in words. */
export const BY = { video: "by the whole picture", stream: "step by step", hands: "by the hands" };

export const percent = (share) => `${Math.round(share * 100)} %`;

/** A share as the width of an element. */
export const wide = (element, share) => (element.style.width = `${100 * share}%`);

export function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(1).padStart(4, "0")}`;
}

/** A canvas as sharp as the screen: its context, width and height in CSS pixels. */
export function drawing(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

export const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
