// Frames in as they come, events out as they are decided: gesture3d/inference/stream.py in JavaScript.

import { Clock, EventFinder, softmax } from "./decisions.js";
import { prepare } from "./frames.js";

/** The step model: a step's frames and a state → scores and the next state. */
export class Network {
  /** ort: onnxruntime-web; said: what network.json says of the file. */
  static async load(ort, file, said) {
    ort.env.wasm.numThreads = 1; // more need headers that few static hosts send
    const session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
    return new Network(ort, session, said);
  }

  constructor(ort, session, said) {
    Object.assign(this, { ort, session, said });
  }

  initialState() {
    return this.said.state_shapes.map((shape) => {
      const count = shape.reduce((a, b) => a * b, 1);
      return new this.ort.Tensor("float32", new Float32Array(count), [1, ...shape]);
    });
  }

  async step(frames, state) {
    const { shape } = this.said;
    const size = frames[0].length;
    const bytes = new Uint8Array(frames.length * size);
    frames.forEach((frame, n) => bytes.set(frame, n * size));
    const feeds = { inputs: new this.ort.Tensor("uint8", bytes, [1, ...shape]) };
    state.forEach((tensor, n) => (feeds[`state_${n}`] = tensor));
    const found = await this.session.run(feeds);
    return { scores: found.scores.data, state: state.map((_, n) => found[`next_state_${n}`]) };
  }
}

export class Stream {
  constructor(network) {
    this.network = network;
    this.said = network.said;
    this.clock = new Clock(this.said.rate_hz);
    this.ended = [];
    this.finder = null;
    this.probabilities = null; // of the last step
    this.stepMilliseconds = [];
  }

  /** The events that are decided with this frame of RGBA pixels, taken at seconds of a clock that runs on. */
  async push(rgba, width, height, seconds) {
    const ticks = this.clock.push(seconds);
    if (ticks.restarts || !this.finder) this.begin(seconds);
    if (!ticks.seconds.length) return [];
    const frame = prepare(rgba, width, height, this.said.preparation);
    const decided = [];
    for (const now of ticks.seconds) {
      const event = await this.add(frame, now, seconds);
      if (event) decided.push(event);
    }
    return decided;
  }

  takeEnded() {
    const ended = [...this.ended, ...(this.finder?.takeEnded() ?? [])];
    this.ended = [];
    return ended;
  }

  close() {
    this.finder?.close();
    return this.takeEnded();
  }

  begin(seconds) {
    this.ended = this.close();
    this.finder = new EventFinder(this.said.online, this.said.class_names, seconds);
    this.waiting = [];
    this.state = this.network.initialState();
  }

  async add(frame, now, known) {
    this.waiting.push(frame);
    if (this.waiting.length < this.said.step_frames) return null;
    const began = performance.now();
    const { scores, state } = await this.network.step(this.waiting, this.state);
    this.stepMilliseconds.push(performance.now() - began);
    if (this.stepMilliseconds.length > 300) this.stepMilliseconds.shift();
    this.waiting = [];
    this.state = state;
    this.probabilities = softmax(scores);
    return this.finder.push(scores, now + 1 / this.said.rate_hz, known);
  }
}
