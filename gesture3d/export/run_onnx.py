"""What an exported network says of a video: python run_onnx.py network.onnx clip.mp4

Of networks that read whole clips (--to onnx, no --step). Needs onnxruntime, numpy and OpenCV alone,
and for networks that follow motion gesture3d/data/video/framing.py in the same folder.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy
import onnxruntime


def main(network: str, clip: str) -> None:
    """Print the three most probable classes."""
    session = onnxruntime.InferenceSession(network)
    said = json.loads(session.get_modelmeta().custom_metadata_map["gesture3d"])
    video = cv2.VideoCapture(str(Path(clip).absolute()))  # a name with a colon would be a URL
    count, _, height, width = said["shape"]
    frames = [frame[..., ::-1] for _, frame in iter(video.read, (False, None))]  # red, green, blue
    if not frames:
        sys.exit(f"error: {clip}: no video that OpenCV can read")
    if len(frames) > 1 and all((frame == frames[0]).all() for frame in frames):
        # Some versions of OpenCV leave the pictures of interlaced videos as they were.
        sys.exit(
            f"error: {clip}: is interlaced, or does not move: convert it: ffmpeg -i {clip} "
            "-vf yadif -c:v libx264 OUT.mp4"
        )
    side, last = min(frames[0].shape[:2]), len(frames) - 1
    top, left = ((n - side) // 2 for n in frames[0].shape[:2])  # the square in the middle
    chosen = [frames[min(i * max(last + 1, count) // count, last)] for i in range(count)]
    if said["preparation"]["pixels"] == "followed":
        import framing

        top, left, side = framing.moving_part(numpy.stack(chosen))
    squares = [frame[top : top + side, left : left + side] for frame in chosen]
    small = [cv2.resize(s, (width, height), interpolation=cv2.INTER_AREA) for s in squares]
    inputs = numpy.stack(small).transpose(0, 3, 1, 2)[None]
    scores = session.run(None, {"inputs": inputs})[0][0]
    powers = numpy.exp(scores - scores.max())
    for i in numpy.argsort(-scores)[:3]:
        print(said["class_names"][i], f"{powers[i] / powers.sum():.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
