// From frames' times to ticks, and from scores over time to events: gesture3d/inference/clock.py and
// online.py in JavaScript, which tests hold to the same results.

const EARLY = 0.25; // of a tick: how long before it a frame may be
const REARM = 0.5; // of the threshold

/** Which frames stand for the ticks of a fixed rate; see clock.py. */
export class Clock {
  constructor(rateHz, gapSeconds = 1) {
    Object.assign(this, { rateHz, gapSeconds, begin: NaN, last: NaN, next: 0 });
  }

  /** What a frame of this time is: seconds of the ticks it stands for, and whether the stream begins anew. */
  push(seconds) {
    if (!Number.isFinite(seconds)) throw new Error(`a frame at ${seconds} s: give each frame its time`);
    if (seconds < this.last) {
      throw new Error(`a frame at ${seconds.toFixed(3)} s after one at ${this.last.toFixed(3)} s: timestamps must not run backwards`);
    }
    const restarts = seconds - this.last > this.gapSeconds;
    if (restarts || Number.isNaN(this.last)) {
      this.begin = seconds;
      this.next = 0;
    }
    this.last = seconds;
    const passed = Math.floor((seconds - this.begin) * this.rateHz + EARLY + 1e-9);
    const ticks = [];
    for (; this.next <= passed; this.next += 1) ticks.push(this.begin + this.next / this.rateHz);
    return { seconds: ticks, restarts };
  }
}

export function softmax(scores) {
  const highest = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Events of one stream while it runs; see online.py. decision: {thresholds, smoothing, lag}. */
export class EventFinder {
  constructor(decision, classNames, begin = 0) {
    const names = Object.keys(decision.thresholds);
    const unknown = names.find((name) => !classNames.includes(name));
    if (unknown !== undefined) throw new Error(`a threshold of ${unknown}, which is no class of the network`);
    this.names = names;
    this.columns = names.map((name) => classNames.indexOf(name));
    this.thresholds = names.map((name) => decision.thresholds[name]);
    this.smoothing = decision.smoothing ?? 0;
    this.lag = decision.lag ?? 0;
    this.begin = this.now = begin;
    this.smoothed = classNames.map(() => 0);
    this.armed = names.map(() => true);
    this.onset = names.map(() => begin); // when each was last below
    this.running = null;
    this.ended = [];
  }

  /**
   * The event that the step which ends now decides, or null; its end is only how far it has come. Nothing is
   * decided before known, when the newest frame in the step came.
   */
  push(scores, now, known = -Infinity) {
    if (scores.length !== this.smoothed.length) {
      throw new Error(`${scores.length} scores of ${this.smoothed.length} classes`);
    }
    if (!(now > this.now)) throw new Error(`${now} s behind ${this.now} s: the time of a stream must ascend`);
    if (!Array.from(scores).every(Number.isFinite)) throw new Error(`scores at ${now} s are NaN`);
    this.smooth(softmax(scores), now);
    const shares = this.columns.map((column) => this.smoothed[column]);
    shares.forEach((share, gesture) => {
      if (share < REARM * this.thresholds[gesture]) this.rearm(gesture, now);
    });
    const highest = Math.max(...shares);
    const best = shares.indexOf(highest);
    const fires = highest > this.thresholds[best] && this.armed[best];
    const event = fires ? this.fire(best, highest, now, known) : null;
    this.now = now;
    return event;
  }

  /** The events that were over since the last call, in the order in which they ended. */
  takeEnded() {
    return this.ended.splice(0);
  }

  close() {
    if (this.running) this.end(this.now);
  }

  smooth(probabilities, now) {
    const weight = this.smoothing ? -Math.expm1(-(now - this.now) / this.smoothing) : 1;
    this.smoothed = this.smoothing
      ? this.smoothed.map((value, k) => value + weight * (probabilities[k] - value))
      : probabilities;
  }

  rearm(gesture, now) {
    if (this.running?.gesture === gesture) this.end(this.now);
    this.armed[gesture] = true;
    this.onset[gesture] = now;
  }

  fire(gesture, score, now, known) {
    let start = this.onset[gesture];
    if (this.running) {
      start = Math.max(start, this.running.event.end);
      this.end(start);
    }
    start = Math.max(start - this.lag, this.begin);
    const event = { label: this.names[gesture], start, end: now, decided: Math.max(now, known), score };
    this.running = { gesture, event };
    this.armed[gesture] = false;
    return event;
  }

  end(at) {
    const { event } = this.running;
    this.running = null;
    const end = Math.max(at, event.end) - this.lag;
    this.ended.push({ ...event, end: end <= event.start ? event.decided : end }); // within the lag of the begin
  }
}
