// The camera (or a file in its place) and the socket: frames out one at a time, answers in.

import { $, ask, Refused, say, token } from "./base.js";

const LOST_SECONDS = 8; // without an answer to a frame, the next one is sent all the same

const WHY = {
  NotAllowedError: "The browser may not use the camera. Press the sign beside the address, allow the camera, and press “Use the camera” again – or play a file instead.",
  NotFoundError: "No camera was found. Plug one in and press “Use the camera” again – or play a file instead.",
  NotReadableError: "The camera is there, but another program uses it. Close that program and press “Use the camera” again.",
};

export class Eye {
  /** onAnswer(answer) gets every answer to a frame; onOpen() and onLost() are called when the socket is there, and gone. */
  constructor(onAnswer, onOpen, onLost) {
    Object.assign(this, { onAnswer, onOpen, onLost });
    this.video = $("preview");
    this.canvas = document.createElement("canvas");
    this.side = 240;
    this.inFlight = 0; // when the frame was sent that is not answered yet, 0: none
    this.seen = this.sent = this.serverDropped = 0;
    this.answered = [];
    this.measureAnew();
    this.retry = 500;
    this.meanwhile = ""; // what is said when the connection is back
    this.connect();
    setInterval(() => this.figures(), 500);
  }

  // --- the socket -------------------------------------------------------------------------------

  connect() {
    this.socket = new WebSocket(`ws://${location.host}/ws?token=${encodeURIComponent(token)}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.inFlight = 0;
      this.onOpen();
    };
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onclose = (event) => this.reconnect(event.reason);
  }

  async reconnect(why) {
    this.lost = true;
    this.onLost();
    say(why || "The connection was lost; trying again … Your clips are safe.", 0);
    await new Promise((done) => setTimeout(done, this.retry));
    this.retry = Math.min(this.retry * 2, 4000);
    try {
      await ask("GET", "api/state");
    } catch (error) {
      if (error instanceof Refused) {
        say(error.message, 0);
        return; // another token: only a new address helps
      }
    }
    this.connect();
  }

  /** Seconds from taking a frame to its answer, and to the first look that can know of it. */
  measureAnew() {
    this.delays = [];
    this.looks = [];
    this.unseen = [];
    this.firstLook = undefined;
  }

  command(what) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(what));
  }

  receive(answer) {
    if (this.lost) {
      this.lost = false;
      this.retry = 500;
      say(this.meanwhile);
      this.meanwhile = "";
    }
    if ("seconds" in answer) {
      const now = performance.now() / 1000;
      this.inFlight = 0;
      this.serverDropped = answer.dropped;
      this.answered.push(now);
      this.delays.push(now - answer.seconds);
      this.unseen.push(answer.seconds);
      if (answer.looked) {
        this.firstLook ??= now;
        this.looks.push(...this.unseen.splice(0).map((seconds) => now - seconds));
      }
      for (const list of [this.delays, this.looks, this.unseen]) list.splice(0, list.length - 300);
      this.pump();
    }
    if (answer.watching) this.measureAnew(); // what came while the network was loaded is no delay
    if (answer.error) say(answer.error);
    this.onAnswer(answer);
  }

  // --- the picture ------------------------------------------------------------------------------

  async useCamera() {
    if (!navigator.mediaDevices?.getUserMedia) {
      say("Browsers give the camera to pages of this machine only (127.0.0.1 or localhost): open the address that the program printed, on the machine where it runs.", 0);
      return false;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } },
        audio: false,
      });
      this.turnOff();
      stream.getVideoTracks()[0].onended = () => {
        this.turnOff();
        say("The camera was unplugged or taken away. Press “Use the camera” when it is back.");
      };
      this.video.srcObject = stream;
      this.video.classList.add("mirrored");
      this.kind = "camera";
    } catch (error) {
      say(WHY[error.name] || `The camera cannot be used (${error.message}). Play a file instead.`, 0);
      return false;
    }
    return this.begin();
  }

  async useFile(file) {
    this.turnOff();
    this.video.src = URL.createObjectURL(file);
    this.video.loop = true;
    this.kind = "file";
    const plays = await this.begin();
    if (!plays) {
      this.turnOff();
      say(`“${file.name}” is no video that this browser can play. Choose another file, e.g. an mp4 – or drop it under Video, which reads more kinds.`);
    }
    return plays;
  }

  async begin() {
    this.granted = performance.now() / 1000;
    this.measureAnew();
    try {
      await this.video.play();
    } catch {
      return false;
    }
    say("");
    $("empty").hidden = true;
    $("off").hidden = false;
    $("camera").hidden = this.kind === "camera";
    const turn = (this.turn = {}); // of this source; another one ends it
    const seen = () => {
      if (this.turn !== turn) return;
      this.seen += 1;
      this.fresh = true;
      this.pump();
      this.next(seen);
    };
    this.next(seen);
    return true;
  }

  next(callback) {
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(callback);
    else requestAnimationFrame(callback);
  }

  turnOff() {
    this.turn = undefined;
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.srcObject = null;
    this.video.removeAttribute("src");
    this.video.classList.remove("mirrored");
    this.kind = undefined;
    this.fresh = false;
    $("empty").hidden = false;
    $("off").hidden = true;
    $("camera").hidden = false;
  }

  /** Send the newest frame, if there is one, and none is under way. */
  pump() {
    const now = performance.now() / 1000;
    const waiting = this.inFlight && now - this.inFlight < LOST_SECONDS;
    const { videoWidth, videoHeight } = this.video;
    if (!this.fresh || waiting || !videoWidth || this.socket.readyState !== WebSocket.OPEN) return;
    const scale = Math.min(this.side / Math.min(videoWidth, videoHeight), 640 / Math.max(videoWidth, videoHeight));
    const width = Math.max(Math.round(videoWidth * scale), 16);
    const height = Math.max(Math.round(videoHeight * scale), 16);
    this.canvas.width = width;
    this.canvas.height = height;
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(this.video, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const message = new Uint8Array(12 + 3 * width * height);
    const head = new DataView(message.buffer);
    head.setFloat64(0, now, true);
    head.setUint16(8, width, true);
    head.setUint16(10, height, true);
    for (let from = 0, to = 12; from < data.length; from += 4) {
      message[to++] = data[from];
      message[to++] = data[from + 1];
      message[to++] = data[from + 2];
    }
    this.socket.send(message);
    this.fresh = false;
    this.inFlight = now;
    this.sent += 1;
  }

  /** Frames a second, and the 95th percentiles of the delays in milliseconds (NaN: none yet). */
  measured() {
    const now = performance.now() / 1000;
    this.answered = this.answered.filter((time) => now - time < 2);
    const p95 = (list) => 1000 * [...list].sort((a, b) => a - b)[Math.floor(0.95 * (list.length - 1))];
    const skipped = this.seen - this.sent + this.serverDropped;
    return { fps: this.answered.length / 2, p95: p95(this.delays), looked: p95(this.looks), skipped };
  }

  figures() {
    const { fps, p95, looked, skipped } = this.measured();
    const seen = looked ? `, looked at within ${looked.toFixed(0)} ms` : "";
    $("figures").textContent = this.kind && this.delays.length
      ? `${fps.toFixed(0)} pictures a second · answered within ${p95.toFixed(0)} ms${seen} (19 of 20) · ${skipped} of ${this.seen} pictures left out`
      : "";
  }
}
