// The page as a whole: its four parts, and what they share.

import { $, ask, BY, h, kept, percent, place, say, trying } from "./base.js";
import { Eye } from "./eye.js";
import { Teach } from "./teach.js";
import { Videos } from "./videos.js";
import { Watch } from "./watch.js";

const PARTS = ["watch", "teach", "videos", "look"];
let state = { gestures: {}, networks: [], nothing: "", wanted: 10 };
let network = kept("network");

// --- parts ----------------------------------------------------------------------------------------

function show(part) {
  for (const name of PARTS) {
    $(name).hidden = name !== part;
    $(`tab-${name}`).setAttribute("aria-selected", name === part);
    $(`tab-${name}`).tabIndex = name === part ? 0 : -1;
  }
  const seen = ["watch", "teach"].includes(part);
  $("stage").hidden = !seen;
  document.querySelector("main").classList.toggle("wide", !seen);
  if (teach.recording && part !== "teach") teach.end();
  else resume();
}

PARTS.forEach((part, place) => {
  const tab = $(`tab-${part}`);
  tab.addEventListener("click", () => show(part));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = $(`tab-${PARTS[(place + step + PARTS.length) % PARTS.length]}`);
    next.focus();
    next.click();
  });
});

// --- what is known --------------------------------------------------------------------------------

async function refresh() {
  const said = await trying(() => ask("GET", "api/state"));
  if (!said) return;
  state = said;
  eye.side = state.side;
  $("folder").textContent = state.folder;
  const known = state.networks.map((one) => one.key);
  if (!known.includes(network)) network = known.find((key) => state.networks.find((n) => n.key === key).kind !== "hands") ?? known[0];
  for (const id of ["network", "video-network", "look-network", "export-network"]) {
    const before = id === "network" ? network : $(id).value || network;
    const fits = state.networks.filter((one) => id !== "look-network" || one.kind !== "stream"); // which reads no clips
    $(id).replaceChildren(...fits.map((one) => h("option", { value: one.key }, inWords(one))));
    if (fits.some((one) => one.key === before)) $(id).value = before;
  }
  sayWhatItKnows();
  choose("look-gesture", Object.keys(state.gestures).sort((a, b) => (a === state.nothing) - (b === state.nothing)));
  clipsOfLook();
  teach.show(state);
}

const gesturesOf = (one) => one.names.filter((name) => name !== state.nothing);

function inWords(one) {
  const [place, name] = one.key.split("/");
  const what = place === "weights" ? `Ready-made: ${gesturesOf(one).length} gestures` : `Yours: ${gesturesOf(one).join(", ")}`;
  return `${what}, ${BY[one.kind]} (${name})`;
}

function sayWhatItKnows() {
  const one = state.networks.find((other) => other.key === network);
  $("knows").textContent = one ? gesturesOf(one).join(", ") : "";
}

function choose(id, names) {
  const before = $(id).value;
  $(id).replaceChildren(...names.map((name) => h("option", {}, name)));
  if (names.includes(before)) $(id).value = before;
}

const clipsOfLook = () => choose("look-clip", state.gestures[$("look-gesture").value] ?? []);

// --- watching -------------------------------------------------------------------------------------

/** Have the server do what this page shows now. */
function resume() {
  if (teach.recording) return;
  const watching = !$("watch").hidden && network;
  watch.clear(watching ? "loading …" : "");
  eye.command(watching ? { do: "watch", network } : { do: "stop" });
}

function watchWith(key) {
  network = key;
  kept("network", key);
  $("network").value = key;
  sayWhatItKnows();
  show("watch");
}

const watch = new Watch();
const eye = new Eye(
  (answer) => {
    if (!$("watch").hidden) watch.answer(answer);
    teach.answer(answer);
  },
  () => {
    if (eye.lost) refresh();
    resume();
  },
  () => {
    if (teach.recording) eye.meanwhile = "The recording was broken off. What was recorded is kept: press its Record button to go on.";
    teach.stop();
  },
);
const page = { eye, refresh, resume, watchWith, state: () => state };
const teach = new Teach(page);
const videos = new Videos();
window.live = { eye, watch, teach, videos };

$("camera").addEventListener("click", () => eye.useCamera());
$("off").addEventListener("click", () => eye.turnOff());
$("file").addEventListener("change", (event) => {
  if (event.target.files[0]) eye.useFile(event.target.files[0]);
  event.target.value = "";
});
$("network").addEventListener("change", () => watchWith($("network").value));
$("look-gesture").addEventListener("change", clipsOfLook);

// --- understanding --------------------------------------------------------------------------------

$("look-button").addEventListener("click", async () => {
  const [gesture, clip] = [$("look-gesture").value, $("look-clip").value];
  if (!clip) {
    say("There is no clip yet: record a gesture under Teach first.");
    return;
  }
  $("look-text").textContent = "Looking …";
  $("look-picture").replaceChildren();
  await trying(async () => {
    const answer = await fetch(place("api/look", { gesture, clip, network: $("look-network").value }));
    if (!answer.ok) {
      $("look-text").textContent = "";
      throw new Error((await answer.json()).error);
    }
    const top = JSON.parse(answer.headers.get("x-top"));
    const picture = h("img", { src: URL.createObjectURL(await answer.blob()), alt: `What the network looks at in ${clip} of ${gesture}` });
    $("look-picture").replaceChildren(picture);
    $("look-text").textContent = `It says: ${top.slice(0, 3).filter(([, share], place) => !place || share >= 0.01).map(([name, share]) => `${name} ${percent(share)}`).join(", ")}.`;
  });
});

await refresh();
addEventListener("focus", async () => { // another page may have recorded, or begun a training
  await refresh();
  if (state.training && !teach.asking) teach.shown(state.training);
});
if (state.training) teach.shown(state.training);
if (state.export) teach.exported(state.export);
videos.restore(state.videos ?? []);
resume();
