// Video: drop a long file, see what is in it and when, jump there, take the list home.

import { $, ask, clock, colour, h, percent, place, refill, say, token, trying, wide } from "./base.js";

export class Videos {
  constructor() {
    this.files = new Map(); // key → address of the file, to be played in this page
    const drop = $("drop");
    for (const kind of ["dragover", "dragleave", "drop"]) {
      drop.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files[0]) this.send(event.dataTransfer.files[0]);
      });
    }
    $("player").addEventListener("error", () => {
      if (!$("player").hidden) say("This browser cannot play this kind of video; it is searched all the same, and the pictures show where.");
      $("player").hidden = true;
    });
    $("video-file").addEventListener("change", (event) => {
      if (event.target.files[0]) this.send(event.target.files[0]);
      event.target.value = "";
    });
  }

  send(file) {
    const query = { title: file.name, network: $("video-network").value };
    const request = new XMLHttpRequest(); // fetch says nothing of its progress
    request.open("POST", place("api/videos", query));
    request.setRequestHeader("X-Token", token);
    request.upload.onprogress = (event) => this.tell(`Sending “${file.name}”: ${percent(event.loaded / event.total)}`);
    request.onerror = () => say("The video could not be sent: it may be larger than 1 GB, or the program was stopped.");
    request.onload = () => {
      let said = {};
      try {
        said = JSON.parse(request.responseText);
      } catch { /* said below */ }
      if (request.status !== 200) {
        this.tell("");
        say(said.error || `The program answered ${request.status}.`);
        return;
      }
      this.files.set(said.key, URL.createObjectURL(file));
      this.follow(said.key);
    };
    request.send(file);
  }

  tell(text) {
    $("found").replaceChildren(h("p", {}, text));
  }

  async follow(key) {
    this.key = key;
    $("player").hidden = !this.files.has(key);
    if (this.files.has(key)) $("player").src = this.files.get(key);
    while (this.key === key) {
      const video = await trying(() => ask("GET", `api/videos/${key}`));
      if (!video) return;
      this.show(video);
      if (video.state !== "searching") return;
      await new Promise((done) => setTimeout(done, 600));
    }
  }

  jump(seconds) {
    $("player").currentTime = seconds;
    $("player").play().catch(() => {});
  }

  show(video) {
    const searching = video.state === "searching";
    const share = video.seconds ? video.done / video.seconds : 0;
    const parts = [h("p", {}, `“${video.title}”: `, {
      searching: `searched ${percent(share)}, ${video.events.length} found so far`,
      done: `${video.events.length === 1 ? "1 gesture" : `${video.events.length} gestures`} in ${clock(video.seconds)}`,
      failed: video.error,
      stopped: "stopped",
    }[video.state])];
    if (searching) {
      const fill = h("div");
      wide(fill, share);
      parts.push(h("div", { class: "meter" }, fill));
      parts.push(h("button", { onclick: () => { this.key = null; trying(() => ask("DELETE", `api/videos/${video.key}`)); this.tell(""); } }, "Stop"));
    }
    if (video.seconds) {
      const strip = h("div", { class: "strip", "aria-label": "Timeline" });
      for (const event of video.events) {
        const mark = h("button", { title: `${event.label} ${clock(event.start)}`, "aria-label": `${event.label} at ${clock(event.start)}`, onclick: () => this.jump(event.start) });
        mark.style.left = `${(100 * event.start) / video.seconds}%`;
        mark.style.width = `${Math.max((100 * (event.end - event.start)) / video.seconds, 0.4)}%`;
        mark.style.background = colour(event.label);
        strip.append(mark);
      }
      const thumbs = video.thumbs.map((seconds, number) =>
        h("button", { onclick: () => this.jump(seconds), "aria-label": `Jump to ${clock(seconds)}` },
          h("img", { src: place(`api/videos/${video.key}/thumbs/${number}`), alt: "" }), h("span", { class: "small" }, clock(seconds))));
      parts.push(strip, h("div", { class: "thumbs" }, ...thumbs));
    }
    const list = video.events.map((event) => {
      const dot = h("b", {}, "●");
      dot.style.color = colour(event.label);
      return h("button", { onclick: () => this.jump(event.start) }, dot, h("span", {}, `${clock(event.start)} – ${clock(event.end)}`), h("span", { class: "label" }, event.label), h("span", { class: "small" }, percent(event.score)));
    });
    parts.push(h("div", { class: "found" }, ...list));
    if (video.state === "done") {
      parts.push(h("div", { class: "row" }, ...["csv", "json"].map((kind) =>
        h("a", { class: "button", href: place(`api/videos/${video.key}/events.${kind}`), download: `events.${kind}` }, `Download ${kind.toUpperCase()}`))));
    }
    refill($("found"), ...parts);
  }

  /** After a reload: what the server still knows. */
  restore(videos) {
    if (!this.key && videos.length) this.follow(videos[videos.length - 1].key);
  }
}
