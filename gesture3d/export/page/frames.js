// From a camera's picture to the network's: what gesture3d/data/video does with OpenCV, but for its rounding.

/** A picture: {width, height, channels, data}, rows of interleaved values 0..255. */
const picture = (width, height, channels) => ({
  width, height, channels, data: new Uint8ClampedArray(width * height * channels),
});

/** What the network is given of RGBA pixels: bytes (channels, size, size). */
export function prepare(rgba, width, height, { cache_size: shortSide, size, pixels, mirrored_camera: mirrored }) {
  let frame = resizeShortSide({ width, height, channels: 4, data: rgba }, shortSide);
  frame = resizeSquare(middle(frame), size);
  const grey = pixels === "grey";
  const planes = new Uint8Array((grey ? 1 : 3) * size * size);
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const from = 4 * (y * size + (mirrored ? size - 1 - x : x));
      const [r, g, b] = frame.data.subarray(from, from + 3);
      const to = y * size + x;
      if (grey) planes[to] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
      else [r, g, b].forEach((value, channel) => (planes[channel * size * size + to] = value));
    }
  }
  return planes;
}

function resizeShortSide(frame, shortSide) {
  const short = Math.min(frame.width, frame.height);
  if (!shortSide || short === shortSide) return frame;
  const width = Math.max(1, roundHalfEven((frame.width * shortSide) / short));
  const height = Math.max(1, roundHalfEven((frame.height * shortSide) / short));
  return resize(frame, width, height, shortSide < short);
}

/** Large ones are first averaged over whole blocks; the remaining factor below 2 is interpolated. */
function resizeSquare(frame, size) {
  const block = Math.floor(Math.min(frame.width, frame.height) / size);
  let region = frame;
  if (block > 1) {
    const [width, height] = [Math.floor(frame.width / block), Math.floor(frame.height / block)];
    region = resize(cut(frame, 0, 0, width * block, height * block), width, height, true);
  }
  return resize(region, size, size, Math.max(region.width, region.height) > 1.5 * size);
}

function middle(frame) {
  const side = Math.min(frame.width, frame.height);
  return cut(frame, Math.floor((frame.width - side) / 2), Math.floor((frame.height - side) / 2), side, side);
}

function cut(frame, left, top, width, height) {
  if (width === frame.width && height === frame.height) return frame;
  const found = picture(width, height, frame.channels);
  const row = width * frame.channels;
  for (let y = 0; y < height; y += 1) {
    const from = ((top + y) * frame.width + left) * frame.channels;
    found.data.set(frame.data.subarray(from, from + row), y * row);
  }
  return found;
}

/** By means over areas, or linearly: rows, then columns, each with the weights of its side. */
function resize(frame, width, height, byArea) {
  if (width === frame.width && height === frame.height) return frame;
  const weights = byArea ? areas : between;
  const { channels, data } = frame;
  const [across, down] = [weights(frame.width, width), weights(frame.height, height)];
  const found = picture(width, height, channels);
  const row = frame.width * channels;
  const sums = new Float32Array(row);
  for (let y = 0; y < height; y += 1) {
    sums.fill(0);
    down[y].shares.forEach((share, n) => {
      const from = (down[y].first + n) * row;
      for (let k = 0; k < row; k += 1) sums[k] += share * data[from + k];
    });
    for (let x = 0; x < width; x += 1) {
      const { first, shares } = across[x];
      for (let c = 0; c < channels; c += 1) {
        let sum = 0;
        for (let n = 0; n < shares.length; n += 1) sum += shares[n] * sums[(first + n) * channels + c];
        found.data[(y * width + x) * channels + c] = sum; // rounds, and clips
      }
    }
  }
  return found;
}

/** For each place of the new side, the first place of the old one that it is made of, and the shares. */
function areas(size, newSize) {
  const scale = size / newSize;
  if (scale < 1) return between(size, newSize);
  return Array.from({ length: newSize }, (_, n) => {
    const [begin, end] = [n * scale, Math.min((n + 1) * scale, size)];
    const first = Math.floor(begin + 1e-9);
    const shares = [];
    for (let place = first; place < end - 1e-9; place += 1) {
      shares.push((Math.min(place + 1, end) - Math.max(place, begin)) / (end - begin));
    }
    return { first, shares };
  });
}

function between(size, newSize) {
  return Array.from({ length: newSize }, (_, n) => {
    const at = Math.min(Math.max(((n + 0.5) * size) / newSize - 0.5, 0), size - 1);
    const first = Math.min(Math.floor(at), Math.max(size - 2, 0));
    return { first, shares: size === 1 ? [1] : [first + 1 - at, at - first] };
  });
}

/** As Python rounds. */
function roundHalfEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}
