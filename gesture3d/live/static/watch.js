// Watch: bars, the timeline of the last seconds, and what was seen.

import { $, colour, drawing, h, percent, style, wide } from "./base.js";

const SPAN = 30; // seconds of the timeline
const BARS = 5;
const KEPT = 100; // events in the list

export class Watch {
  constructor() {
    this.events = [];
    this.rows = Array.from({ length: BARS }, () => {
      const parts = ["name", "track", "number"].map((name) => h("span", { class: name }));
      const fill = h("div", { class: "fill" });
      parts[1].append(fill);
      const row = h("div", { class: "bar" }, ...parts);
      $("bars").append(row);
      return { row, name: parts[0], fill, number: parts[2] };
    });
    const draw = () => {
      if (!$("watch").hidden) this.draw();
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  }

  answer(answer) {
    if (answer.watching) this.bars([], "ready");
    if (answer.top) this.bars(answer.top, "nothing it knows");
    for (const event of answer.events ?? []) this.add(event);
    for (const event of answer.ended ?? []) {
      const known = this.events.find((e) => e.decided === event.decided && e.label === event.label);
      if (known) Object.assign(known, event, { over: true });
    }
  }

  bars(top, nothing = "") {
    this.rows.forEach((row, place) => {
      const [name, share] = top[place] ?? [place ? "" : nothing, 0];
      row.row.hidden = !name && place > 0; // fewer classes than bars
      row.name.textContent = name;
      row.name.title = name;
      wide(row.fill, share);
      row.fill.style.background = share ? colour(name) : "";
      row.number.textContent = share ? percent(share) : "";
    });
  }

  add(event) {
    this.events.push(event);
    if (this.events.length > KEPT) this.events.shift();
    $("now").textContent = event.label;
    clearTimeout(this.fading);
    this.fading = setTimeout(() => ($("now").textContent = ""), 2500);
    if (this.events.length === 1) $("events").replaceChildren();
    const at = new Date().toLocaleTimeString();
    const item = h("li", {}, h("time", {}, at), h("span", {}, event.label), h("span", { class: "small" }, percent(event.score)));
    $("events").prepend(item);
    while ($("events").children.length > KEPT) $("events").lastChild.remove();
  }

  /** Events are in seconds of the page's clock. */
  draw() {
    const { context, width, height } = drawing($("timeline"));
    const now = performance.now() / 1000;
    const x = (seconds) => width * (1 - (now - seconds) / SPAN);
    context.font = "12px system-ui";
    context.strokeStyle = style("--line");
    context.fillStyle = style("--soft");
    for (let back = 0; back <= SPAN; back += width < 450 ? 10 : 5) {
      context.beginPath();
      context.moveTo(x(now - back), 0);
      context.lineTo(x(now - back), height - 16);
      context.stroke();
      context.textAlign = back === 0 ? "right" : back === SPAN ? "left" : "center";
      context.fillText(back ? `${back} s ago` : "now", x(now - back), height - 3);
    }
    context.textAlign = "left";
    let free = 0; // where the last name ends; names that would touch it are left to the list
    for (const event of this.events) {
      const end = event.over ? event.end : Math.max(event.decided, Math.min(now, event.decided + 1));
      if (end < now - SPAN) continue;
      context.fillStyle = colour(event.label);
      context.fillRect(x(event.start), 24, Math.max(x(end) - x(event.start), 3), height - 46);
      context.fillStyle = style("--text");
      const left = Math.max(Math.min(x(event.start), width - context.measureText(event.label).width), 0);
      if (left < free) continue;
      context.fillText(event.label, left, 16);
      free = left + context.measureText(event.label).width + 6;
    }
  }

  /** Forget what another source or network has said. */
  clear(why = "") {
    this.bars([], why);
    $("now").textContent = "";
  }
}
