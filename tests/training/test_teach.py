"""Gestures from a few examples, end to end, of hands that are generated."""

from pathlib import Path

import numpy as np
import pytest

from gesture3d import Classifier
from gesture3d.cli import teach
from gesture3d.config import load_data
from gesture3d.data.video.prepared.joints import kept_joints
from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.rejection import measure_rejection
from gesture3d.export.write import open_source
from gesture3d.hands.track import HandTrack
from gesture3d.studies.zoo import read_rows
from gesture3d.synthetic.tracks import performances
from gesture3d.training.taught import find_unknown
from tests.clips import square_clip, write_clip

GESTURES = ("Thumb Up", "Swiping Left", "Zooming Out With Two Fingers")


def track_of(joints: np.ndarray) -> HandTrack:
    presence = np.isfinite(joints[:, :, 0, 0]).astype(np.float32)
    seconds = np.arange(len(joints)) / 12
    return HandTrack(joints, joints / 1000, presence, 176, 100, seconds)


@pytest.fixture(scope="module")
def tracks() -> dict[str, list[HandTrack]]:
    found: dict[str, list[HandTrack]] = {}
    for one in performances("train", 8, seed=4):
        if np.isfinite(one.joints[..., 0, 0]).sum() > 9:
            found.setdefault(one.label, []).append(track_of(one.joints))
    return found


def write(root: Path, tracks: dict, names=GESTURES, rows=slice(0, 2)) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        for number, track in enumerate(tracks[name][rows]):
            track.save(root / name / f"{number}.npz")
    return root


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["teach", *map(str, arguments)])
    return teach.main()


def test_two_clips_of_three_gestures_make_a_recogniser(
    tmp_path, tracks, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "mine", tracks)
    write(tmp_path / "other", tracks, ["Zooming In With Full Hand", "Drumming Fingers"])
    assert run(monkeypatch, folder, "--unknown", tmp_path / "other") == 0
    said = capsys.readouterr().out
    assert (
        "6 clips of 3 gestures (Swiping Left 2, Thumb Up 2, Zooming Out With Two Fingers 2)" in said
    )
    assert "each clip left out once, the others recognise" in said
    assert "of 4 unknown clips refused" in said
    with pytest.raises(Gesture3dError, match="templates, which"):
        open_source("mine.safetensors")
    found = measure_rejection("mine.safetensors", [str(tmp_path / "other")], "train")
    assert (found.num_known, found.num_unknown) == (6, 4)
    assert found.kept == 1.0
    classifier = Classifier("mine.safetensors", reject=0.9)
    paths = classifier.find(folder / "Thumb Up" / "0.npz")
    (result,) = classifier.classify(paths)
    assert result.segments[0].classes[0].name == "Thumb Up"
    assert sorted(classifier.class_names) == sorted(GESTURES)


def test_a_test_split_is_recognised_and_the_choice_of_clips_repeated(
    tmp_path, tracks, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine" / "train", tracks, rows=slice(0, 4))
    write(tmp_path / "mine" / "test", tracks, rows=slice(4, 6))
    options = ("--draws", "2", "--record", "zoo.csv", "--set", "data.few_shot=2")
    assert run(monkeypatch, "mine", *options) == 0
    ((_, row),) = read_rows(Path("zoo.csv"))
    assert (row["network"], row["settings"]) == ("templates", "data.few_shot=2")
    assert (row["samples"], row["seeds"], row["written_by"]) == ("6", "0 1", "teach")
    assert row["events"].startswith("known accepted ")
    lines = [line for line in capsys.readouterr().out.splitlines() if "of 6 test clips" in line]
    assert len(lines) == 2
    assert all(int(line.split()[0]) >= 4 for line in lines)
    shares = [f"{int(line.split()[0]) / 6:.1%}".rstrip("%") for line in lines]
    assert row["top1_by_seed"].split() == shares


def test_without_test_clips_there_is_no_row(tmp_path, tracks, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine", tracks)
    with pytest.raises(Gesture3dError, match="--record: no test clips"):
        run(monkeypatch, "mine", "--record", "zoo.csv")
    assert not Path("zoo.csv").exists()


def test_clips_without_a_hand_are_named_and_left_out(tmp_path, tracks, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "mine", tracks)
    nothing = track_of(np.full((20, 2, 21, 3), np.nan, np.float32))
    nothing.save(folder / "Thumb Up" / "dark.npz")
    seen = tracks["Thumb Up"][0].seen.any(axis=1).argmax()
    track_of(tracks["Thumb Up"][0].joints[seen : seen + 1]).save(folder / "Thumb Up" / "one.npz")
    assert run(monkeypatch, folder) == 0
    said = capsys.readouterr().out
    assert "Thumb Up/dark.npz: a hand in fewer than two frames; left out" in said
    assert "Thumb Up/one.npz: a hand in fewer than two frames; left out" in said
    with pytest.raises(Gesture3dError, match=r"dark\.npz: a hand is seen in 0 of 20 frames"):
        Classifier("mine.safetensors")(folder / "Thumb Up" / "dark.npz")
    for number in range(2):
        nothing.save(folder / "Thumb Up" / f"{number}.npz")
    with pytest.raises(Gesture3dError, match="no clip of 'Thumb Up' shows a hand in two frames"):
        run(monkeypatch, folder)


def test_equal_gestures_are_called_alike(tmp_path, tracks, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "mine", {**tracks, "same": tracks["Thumb Up"]}, ["Thumb Up", "same"])
    assert run(monkeypatch, folder) == 0
    assert "'Thumb Up' and 'same' are too alike: record these again" in capsys.readouterr().out


def test_videos_without_the_networks_that_find_hands(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GESTURE3D_HANDS", str(tmp_path / "nowhere"))
    for direction in ("left", "right"):
        write_clip(tmp_path / "mine" / direction / "1.mp4", square_clip(direction, 0))
    with pytest.raises(Gesture3dError, match=r"prepare\.py fetch hands"):
        run(monkeypatch, "mine")


def test_what_cannot_be_taught_is_said(tmp_path, tracks, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Gesture3dError, match="nowhere: no such folder"):
        run(monkeypatch, "nowhere")
    folder = write(tmp_path / "one", tracks, GESTURES[:1])
    with pytest.raises(Gesture3dError, match="only one gesture, 'Thumb Up'"):
        run(monkeypatch, folder)


def test_unknown_clips_in_folders_lists_and_files(tmp_path, tracks, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    other = write(tmp_path / "other", tracks, ["Drumming Fingers"]) / "Drumming Fingers"
    (tmp_path / "list.csv").write_text("path,note\nother/Drumming Fingers/0.npz,x\n")
    (tmp_path / "list.txt").write_text(f"{other / '1.npz'}\n")
    data = load_data("hand_folder", [f"data.root={tmp_path}"])
    both = [str(other / "0.npz"), str(other / "1.npz")]
    for paths in (["other"], ["list.csv", "list.txt", both[0]], ["other", *both]):
        assert [item.key for item in find_unknown(paths, data).items] == both


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere.csv", None, "nowhere.csv: no such file"),
        ("list.csv", "clip\na.mp4\n", "no column 'path'"),
        ("list.txt", "away.mp4\n", r"away\.mp4: no such file"),
        ("notes.pdf", "%PDF", r"--unknown: notes\.pdf is no clip"),
        ("empty.txt", "\n", r"--unknown empty\.txt: no clips there"),
    ],
)
def test_unknown_clips_are_looked_for_before_the_work(
    tmp_path, monkeypatch, name, content, message
) -> None:
    monkeypatch.chdir(tmp_path)
    for direction in ("left", "right"):  # which would need networks
        write_clip(tmp_path / "mine" / direction / "1.mp4", square_clip(direction, 0))
    monkeypatch.setenv("GESTURE3D_HANDS", str(tmp_path / "nowhere"))
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(Gesture3dError, match=message):
        run(monkeypatch, "mine", "--unknown", name)


def test_joints_of_unknown_clips_are_kept_by_their_whole_path(tmp_path) -> None:
    """Of two folders' clips of one name each has its own."""
    data = load_data("hand_folder", [f"data.root={tmp_path / 'mine'}"])
    for name in ("one", "other"):
        write_clip(tmp_path / name / "0.mp4", square_clip("left", 0))
    one, other = (find_unknown([str(tmp_path / name)], data).items[0] for name in ("one", "other"))
    kept = kept_joints(tmp_path)
    assert kept.path(one) != kept.path(other)
