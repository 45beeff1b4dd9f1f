// Runs the page's decisions in node on what the tests give, and prints what they say, as JSON.
// node web_check.mjs MODULES IN.json: {clock: […], finders: […], frames: […]}

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , modules, file] = process.argv;
const from = (name) => import(pathToFileURL(`${modules}/${name}`).href);
const { Clock, EventFinder } = await from("decisions.js");
const { prepare } = await from("frames.js");
const given = JSON.parse(readFileSync(file, "utf8"));

const clocks = given.clocks.map(({ rate, gap, times }) => {
  const clock = new Clock(rate, gap);
  return times.map((time) => {
    try {
      const { seconds, restarts } = clock.push(time ?? NaN);
      return [seconds, restarts];
    } catch (error) {
      return error.message;
    }
  });
});

const finders = given.finders.map(({ decision, names, begin, scores, seconds, known }) => {
  const finder = new EventFinder(decision, names, begin);
  const decided = seconds.map((now, n) => finder.push(Float32Array.from(scores[n]), now, known[n]));
  finder.close();
  return { decided, ended: finder.takeEnded() };
});

const frames = given.frames.map(({ rgba, width, height, preparation }) => {
  const bytes = Uint8ClampedArray.from(Buffer.from(rgba, "base64"));
  return Buffer.from(prepare(bytes, width, height, preparation)).toString("base64");
});

console.log(JSON.stringify({ clocks, finders, frames }));
