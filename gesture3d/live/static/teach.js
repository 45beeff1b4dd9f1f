// Teach: record clips, look at them, train, and say how good it is.

import { $, ask, BY, drawing, h, percent, place, refill, say, style, trying, wide } from "./base.js";

const STRIP = 12; // frames in a strip

export class Teach {
  /** page: {eye, state(), refresh(), watchWith(key)} */
  constructor(page) {
    this.page = page;
    this.recording = null;
    $("new-gesture").addEventListener("submit", (event) => {
      event.preventDefault();
      const name = $("name").value.trim();
      if (!name) say("Type a name for the gesture first.");
      else if (Object.hasOwn(this.page.state().gestures, name)) say(`There is “${name}” already: press its Record button to add clips, or type another name.`);
      else this.record(name);
    });
    $("stop").addEventListener("click", () => this.end());
    $("train").addEventListener("click", () => trying(() => this.train()));
    $("cancel").addEventListener("click", () => trying(async () => this.shown(await ask("DELETE", "api/training"))));
    $("export").addEventListener("click", () => trying(async () => this.exported(await ask("POST", "api/export", { network: $("export-network").value }))));
  }

  // --- recording --------------------------------------------------------------------------------

  async record(gesture) {
    if (this.recording) return;
    if (!this.page.eye.kind && !(await this.page.eye.useCamera())) return;
    this.recording = gesture;
    const turn = (this.turn = {}); // of this recording
    const nothing = gesture === this.page.state().nothing;
    $("recording").hidden = false;
    wide($("level"), 0);
    $("recording-text").textContent = nothing ? "Get ready to do nothing …" : `Get ready for “${gesture}”: keep still …`;
    for (const number of ["3", "2", "1"]) {
      $("count").textContent = number;
      await new Promise((done) => setTimeout(done, 800));
      if (this.turn !== turn) return;
    }
    $("count").textContent = "";
    this.count = 0;
    this.page.eye.command({ do: "record", gesture });
    this.tell(nothing ? "Do nothing in particular for 20 seconds." : `Make “${gesture}” now; lower your hand; and again.`);
  }

  tell(text) {
    $("recording-text").textContent = text;
  }

  end() {
    this.stop();
    this.page.resume();
    this.page.refresh();
  }

  /** No more is recorded; what was is kept. */
  stop() {
    this.recording = this.turn = null;
    $("count").textContent = "";
    $("recording").hidden = true;
  }

  answer(answer) {
    if (!this.recording) return;
    const wanted = this.page.state().wanted;
    if (answer.share !== undefined) {
      wide($("level"), answer.share);
      this.tell(`Do nothing in particular: ${Math.ceil(20 * (1 - answer.share))} seconds to go.`);
    }
    if (answer.level !== undefined) wide($("level"), Math.min(answer.level / 2, 1));
    if (answer.problem) this.tell(answer.problem);
    else if (answer.clip?.number) {
      this.tell(`${answer.clip.number} of ${wanted}. Keep still for a moment, then once more.`);
      this.page.refresh();
    } else if (answer.moving) this.tell(`${this.count} of ${wanted}: I see a movement …`);
    this.count = answer.clip?.number ?? this.count;
    if (answer.error || answer.done) this.end();
    if (answer.done) $("name").value = "";
  }

  // --- clips ------------------------------------------------------------------------------------

  show(state) {
    const nothing = state.nothing;
    const cards = Object.entries(state.gestures).filter(([name]) => name !== nothing);
    const signature = JSON.stringify(state.gestures);
    if (signature === this.signature) return;
    this.signature = signature;
    refill($("gestures"), ...cards.map(([name, clips]) => this.card(name, name, clips, "Record more")));
    const clips = state.gestures[nothing] ?? [];
    refill($("nothing"), this.card(nothing, "Nothing", clips, clips.length ? "Record more" : "Record 20 seconds"));
  }

  card(gesture, title, clips, what) {
    const several = clips.length === 1 ? "1 clip" : `${clips.length} clips`;
    const buttons = [h("button", { onclick: () => this.record(gesture) }, what)];
    if (clips.length) buttons.push(h("button", { onclick: () => this.remove(gesture, undefined, `all of “${title}”`) }, "Delete all"));
    return h(
      "div",
      { class: "gesture", "data-gesture": gesture },
      h("div", { class: "row" }, h("h3", {}, title, h("span", { class: "small" }, `  ${several}`)), ...buttons),
      h("div", { class: "clips" }, ...clips.map((clip) => this.clip(gesture, clip, title))),
    );
  }

  clip(gesture, clip, title) {
    const canvas = h("canvas", { width: 96, height: 64 });
    const strip = new Image();
    const context = canvas.getContext("2d");
    const paint = (number) => {
      const width = strip.width / STRIP;
      const scale = Math.max(96 / width, 64 / strip.height);
      const [w, t] = [96 / scale, 64 / scale];
      context.drawImage(strip, number * width + (width - w) / 2, (strip.height - t) / 2, w, t, 0, 0, 96, 64);
    };
    strip.onload = () => paint(STRIP / 2);
    strip.src = place("api/strip", { gesture, clip });
    let playing;
    const play = () => {
      clearInterval(playing);
      let number = 0;
      playing = setInterval(() => {
        paint(number % STRIP);
        number += 1;
        if (number > 3 * STRIP) {
          clearInterval(playing);
          paint(STRIP / 2);
        }
      }, 130);
    };
    return h(
      "div",
      { class: "clip" },
      h("button", { class: "play", onclick: play, "aria-label": `Play ${clip} of ${title}` }, canvas),
      h("button", { class: "delete", onclick: () => this.remove(gesture, clip), "aria-label": `Delete ${clip} of ${title}` }, "×"),
    );
  }

  async remove(gesture, clip, what) {
    if (what && !confirm(`Delete ${what}?`)) return;
    await trying(() => ask("DELETE", "api/clips", clip ? { gesture, clip } : { gesture }));
    this.page.refresh();
  }

  // --- training ---------------------------------------------------------------------------------

  async train() {
    try {
      this.shown(await ask("POST", "api/training", { way: $("way").value }));
    } catch (error) {
      this.askAgain(); // it may be another tab's that runs
      throw error;
    }
  }

  /** What a training says of itself; asks again while it runs. */
  shown(status) {
    const runs = ["starting", "running"].includes(status.state);
    $("train").disabled = runs;
    $("cancel").hidden = !runs;
    clearTimeout(this.asking);
    this.asking = 0;
    if (runs) {
      this.wanted = true;
      this.asking = setTimeout(() => this.askAgain(), 700);
    }
    $("training").replaceChildren(...this.words(status));
    $("curve").hidden = !(status.curve?.length > 1);
    if (status.curve?.length > 1) this.draw(status.curve, status.epochs);
    if (status.state === "done" && this.wanted) {
      this.wanted = false;
      this.page.refresh().then(() => this.page.watchWith(status.network));
    }
  }

  async askAgain() {
    try {
      this.shown(await ask("GET", "api/state").then((state) => state.training));
    } catch {
      this.asking = setTimeout(() => this.askAgain(), 2000);
    }
  }

  words(status) {
    if (status.state === "none") return [];
    if (status.state === "cancelled") return [h("p", { class: "result bad" }, "Cancelled. Your clips are still there.")];
    if (status.state === "failed") return [h("p", { class: "result bad" }, status.error)];
    if (status.state !== "done") {
      const left = status.seconds_left === undefined ? "" : ` – about ${Math.ceil(status.seconds_left)} s left`;
      const done = status.curve ? `, round ${status.curve.length} of ${status.epochs}` : "";
      return [h("p", {}, `${status.step ?? "starting"}${done}${left}`)];
    }
    const found = status.result;
    const lines = [
      h("p", {}, "Of clips that it had never seen it recognised ", h("b", {}, `${found.right} of ${found.tested}`), ` (trained ${BY[found.way]} in ${Math.round(status.seconds)} s).`),
    ];
    if (found.made) lines.push(h("p", {}, "One after the other, with nothing in between, it found ", h("b", {}, `${found.found} of ${found.made}`), " at the right moment."));
    if (found.worst) lines.push(h("p", {}, `Most often mistaken: “${found.worst.made}” for “${found.worst.taken}”, ${found.worst.times} of ${found.worst.of} times. Make them more different, or record more.`));
    else lines.push(h("p", {}, "No gesture was taken for another one."));
    lines.push(
      found.nothing_seconds
        ? h("p", {}, "False alarms in ", h("b", {}, `${found.nothing_seconds} s`), " of nothing: ", h("b", {}, `${found.alarms}`), ".")
        : h("p", {}, "There is no recording of nothing, so false alarms were not counted."),
    );
    if (found.note) lines.push(h("p", { class: "small" }, found.note));
    return [h("div", { class: "result" }, ...lines)];
  }

  // --- taking it along --------------------------------------------------------------------------

  /** What an export says of itself; asks again while it runs. */
  exported(status) {
    clearTimeout(this.waiting);
    $("export").disabled = status.state === "running";
    const what = `${status.network}: `;
    const megabytes = `${(status.bytes / 1e6).toFixed(1)} MB`;
    const parts = {
      none: [],
      running: [h("p", {}, `${what}writing it, and comparing it with the network …`)],
      failed: [h("p", { class: "result bad" }, `${what}${status.error}`)],
      done: [h("p", { class: "result" }, `${what}ready, and it gives the same answers. `, h("span", { class: "small" }, `Checked: ${status.proof}.`)),
        h("a", { class: "button", href: place("api/export/file"), download: "" }, `Download (${megabytes})`)],
    };
    $("exported").replaceChildren(...parts[status.state]);
    if (status.state !== "running") return;
    const again = () => ask("GET", "api/state").then((state) => this.exported(state.export), () => { this.waiting = setTimeout(again, 2000); });
    this.waiting = setTimeout(again, 1000);
  }

  draw(curve, epochs) {
    const { context, width, height } = drawing($("curve"));
    const x = (epoch) => 34 + ((width - 44) * epoch) / Math.max(epochs - 1, 1);
    const y = (share) => 8 + (height - 30) * (1 - share);
    context.font = "12px system-ui";
    context.fillStyle = style("--soft");
    context.strokeStyle = style("--line");
    for (const share of [0, 0.5, 1]) {
      context.fillText(percent(share), 0, y(share) + 4);
      context.beginPath();
      context.moveTo(34, y(share));
      context.lineTo(width - 10, y(share));
      context.stroke();
    }
    for (const [name, hue, label, at] of [["train", "--soft", "clips learnt from", 40], ["validation", "--accent", "clips held out", 170]]) {
      context.strokeStyle = context.fillStyle = style(hue);
      context.lineWidth = 2;
      context.beginPath();
      curve.forEach((row, epoch) => row[name] != null && context.lineTo(x(epoch), y(row[name])));
      context.stroke();
      context.fillText(label, at, height - 4);
    }
    context.lineWidth = 1;
  }
}
