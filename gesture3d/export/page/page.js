// The page: the camera (or a file in its place), what the network sees, and the events.

import { Network, Stream } from "./stream.js";

const $ = (id) => document.getElementById(id);
const RUNTIME = "./ort.wasm.min.mjs";
const BARS = 3;
const KEPT = 100; // events in the list
const WHY = {
  NotAllowedError: "The browser may not use the camera: allow it at the sign beside the address, and press the button again.",
  NotFoundError: "No camera was found: plug one in and press the button again, or play a file.",
  NotReadableError: "Another program uses the camera: close it and press the button again.",
};
const video = $("video");
const canvas = document.createElement("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const counts = { frames: 0, dropped: 0, events: 0 };
let network, stream, busy;
window.gesture3d = { counts, stream: () => stream };

const say = (text) => ($("message").textContent = text);

async function load() {
  const answer = await fetch("network.json");
  if (!answer.ok) throw new Error("network.json is not in this folder; export it again.");
  const said = await answer.json();
  $("about").textContent = `${said.class_names.length} classes: ${Object.keys(said.online.thresholds).join(", ")}`;
  let ort;
  try {
    ort = await import(RUNTIME);
  } catch {
    throw new Error("onnxruntime-web is not in this folder; the README.txt in it says how to put it there.");
  }
  network = await Network.load(ort, "network.onnx", said);
  say("");
  for (const button of document.querySelectorAll("button, input")) button.disabled = false;
}

async function useCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    say("Browsers give the camera only to pages of https:// and of localhost.");
    return;
  }
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    say(WHY[error.name] ?? `The camera cannot be used: ${error.message}`);
    return;
  }
  video.classList.add("mirrored"); // as people see themselves; the network sees what the camera does
  watch();
}

function useFile(file) {
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  video.classList.remove("mirrored");
  video.src = URL.createObjectURL(file);
  watch();
}

async function watch() {
  say("");
  stream = new Stream(network);
  $("events").replaceChildren();
  Object.assign(counts, { frames: 0, dropped: 0, events: 0 });
  await video.play();
  video.requestVideoFrameCallback(look);
}

async function look(now) {
  video.requestVideoFrameCallback(look);
  counts.frames += 1;
  if (busy) { // of frames that come while one is looked at, none waits
    counts.dropped += 1;
    return;
  }
  busy = true;
  try {
    const { videoWidth: width, videoHeight: height } = video;
    [canvas.width, canvas.height] = [width, height];
    context.drawImage(video, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    for (const event of await stream.push(data, width, height, now / 1000)) add(event);
    stream.takeEnded();
    show();
  } catch (error) {
    say(error.message);
  } finally {
    busy = false;
  }
}

function add(event) {
  counts.events += 1;
  const item = document.createElement("li");
  item.textContent = `${new Date().toLocaleTimeString()}  ${event.label}  ${Math.round(100 * event.score)} %`;
  $("events").prepend(item);
  while ($("events").children.length > KEPT) $("events").lastChild.remove();
}

function show() {
  if (!stream.probabilities) return;
  const names = network.said.class_names;
  const order = [...names.keys()].sort((a, b) => stream.probabilities[b] - stream.probabilities[a]);
  $("bars").replaceChildren(...order.slice(0, BARS).map((k) => {
    const row = document.createElement("div");
    row.textContent = `${names[k]} ${Math.round(100 * stream.probabilities[k])} %`;
    row.style.setProperty("--share", stream.probabilities[k]);
    return row;
  }));
  const times = [...stream.stepMilliseconds].sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)];
  $("figures").textContent = `${counts.frames} frames, ${counts.dropped} left out; a step takes ${median.toFixed(1)} ms`;
}

$("camera").addEventListener("click", useCamera);
$("file").addEventListener("change", (event) => event.target.files[0] && useFile(event.target.files[0]));
load().catch((error) => say(error.message));
