"""The skeleton data sets: where their files are, and what their names and lists say."""

import re
from collections.abc import Iterator
from pathlib import Path

from gesture3d.config import (
    SBUKinectData,
    SFINGE3DData,
    SHREC17Data,
    SkeletonData,
    SkeletonFolderData,
    SyntheticJointsData,
    UTDSkeletonData,
)
from gesture3d.data.numeric import is_count, read_file, text_lines
from gesture3d.data.skeleton.dataset import Sequence, SkeletonIndex
from gesture3d.data.skeleton.files import (
    PLAIN_SUFFIXES,
    plain_joints,
    read_joints,
    sbu_joints,
    sfinge_joints,
    shrec_joints,
    utd_joints,
)
from gesture3d.data.split import SPLITS, split_by_shares
from gesture3d.data.video.sets.folder import class_folders, csv_rows
from gesture3d.data.video.sets.utd_mhad_depth import ACTIONS as UTD_ACTIONS
from gesture3d.data.walk import Walk
from gesture3d.data.zips import ZipReader
from gesture3d.errors import Gesture3dError, naming

SHREC_GESTURES = (
    "grab",
    "tap",
    "expand",
    "pinch",
    "rotation clockwise",
    "rotation counter-clockwise",
    "swipe right",
    "swipe left",
    "swipe up",
    "swipe down",
    "swipe x",
    "swipe +",
    "swipe v",
    "shake",
)
# Codes differ in what they call actions 4 to 8; the numbers are what counts.
SBU_ACTIONS = (
    "approaching",
    "departing",
    "kicking",
    "punching",
    "pushing",
    "hugging",
    "shaking hands",
    "exchanging",
)
SBU_FOLDS = (
    ("s01s02", "s03s04", "s05s02", "s06s04"),
    ("s02s03", "s02s07", "s03s05", "s05s03"),
    ("s01s03", "s01s07", "s07s01", "s07s03"),
    ("s02s01", "s02s06", "s03s02", "s03s06"),
    ("s04s02", "s04s03", "s04s06", "s06s02", "s06s03"),
)


def read_skeletons(config: SkeletonData, progress: bool = True) -> SkeletonIndex:
    """The sequences of the configured set.

    Raises:
        Gesture3dError: missing or wrong files, in one line.
    """
    return _READERS[config.name](config, progress)


def _read_utd(config: UTDSkeletonData, progress: bool) -> SkeletonIndex:
    sequences = []
    for name, source, content in _files(config.root, "Skeleton", ".mat"):
        found = re.fullmatch(r"(a([0-9]{1,9})_s([0-9]{1,9})_t[0-9]+)_skeleton", Path(name).stem)
        if not found or not 1 <= int(found[2]) <= len(UTD_ACTIONS):
            raise Gesture3dError(f"{source}: expected a name such as a1_s1_t1_skeleton.mat")
        label = int(found[2]) - 1
        sequences.append(Sequence(found[1], utd_joints(content, source), label, found[3], source))
    tested = frozenset(s.key for s in sequences if int(s.group) % 2 == 0)
    return SkeletonIndex(UTD_ACTIONS, sequences, [tested])


def _read_sfinge(config: SFINGE3DData, progress: bool) -> SkeletonIndex:
    sequences = []
    for name, source, content in _files(config.root, "Dictionary", ".txt"):
        label, instance = Path(name).parent.name, Path(name).stem
        if not (is_count(label) and is_count(instance) and 1 <= int(label) <= 13):
            raise Gesture3dError(f"{source}: expected Dictionary/<class 1..13>/<number>.txt")
        joints = sfinge_joints(content, source)
        block = str((int(instance) - 1) // 6 + 1)
        key = f"{label}/{instance}"
        sequences.append(Sequence(key, joints, int(label) - 1, block, source))
    blocks = sorted({s.group for s in sequences}, key=int)
    folds = [frozenset(s.key for s in sequences if s.group == block) for block in blocks]
    return SkeletonIndex(tuple(str(n) for n in range(1, 14)), sequences, folds)


def _read_shrec(config: SHREC17Data, progress: bool) -> SkeletonIndex:
    """Lists: gesture, fingers, subject, trial, label of 14, label of 28, frames."""
    sequences, tested = [], set()
    for name, is_test in (("train_gestures.txt", False), ("test_gestures.txt", True)):
        path = config.root / name
        if not path.is_file():
            raise Gesture3dError(
                f"{path}: no such file; unpack HandGestureDataset_SHREC2017 and set data.root"
            )
        for number, line in enumerate(text_lines(_read_bytes(path), str(path)), start=1):
            if not line.strip():
                continue
            try:
                gesture, fingers, subject, trial, label14, label28, size = map(int, line.split())
            except ValueError:
                raise Gesture3dError(f"{path}:{number}: expected 7 whole numbers") from None
            key = f"gesture_{gesture}/finger_{fingers}/subject_{subject}/essai_{trial}"
            source = config.root / key / "skeletons_world.txt"
            joints = shrec_joints(_read_bytes(source), str(source))
            if len(joints) != size:
                raise Gesture3dError(
                    f"{source}: {len(joints)} frames, but {path}:{number} says {size}"
                )
            label = (label14 if config.num_classes == 14 else label28) - 1
            sequences.append(Sequence(key, joints, label, str(subject), str(source)))
            if is_test:
                tested.add(key)
    names = SHREC_GESTURES
    if config.num_classes == 28:
        names = tuple(f"{n}, {how}" for n in names for how in ("one finger", "whole hand"))
    return SkeletonIndex(names, sequences, [frozenset(tested)])


def _read_sbu(config: SBUKinectData, progress: bool) -> SkeletonIndex:
    paths = sorted(config.root.glob("**/skeleton_pos.txt"))
    if not paths:
        raise Gesture3dError(
            f"{config.root}: no **/skeleton_pos.txt; unpack the SBU Kinect Interaction sets there, "
            "or set data.root"
        )
    sequences = []
    for path in paths:
        pair, action, trial = path.parts[-4:-1]
        if pair not in sum(SBU_FOLDS, ()) or not is_count(action) or not 1 <= int(action) <= 8:
            raise Gesture3dError(
                f"{path}: expected s01s02/<action 01..08>/<trial>/skeleton_pos.txt"
            )
        joints = sbu_joints(_read_bytes(path), str(path))
        key = f"{pair}/{action}/{trial}"
        sequences.append(Sequence(key, joints, int(action) - 1, pair, str(path)))
    folds = [frozenset(s.key for s in sequences if s.group in fold) for fold in SBU_FOLDS]
    return SkeletonIndex(SBU_ACTIONS, sequences, folds)


def _read_synthetic(config: SyntheticJointsData, progress: bool) -> SkeletonIndex:
    from gesture3d.data.video.sets.jester import read_class_names
    from gesture3d.synthetic.generate import generate

    per_class = config.clips_per_class.model_dump()
    generate(config.root, clips_per_class=per_class, hard=config.hard, seed=config.seed)
    names = read_class_names(config.root / "jester-v1-labels.csv")
    sequences, given = [], {}
    for split in SPLITS:
        suffix = "test-labels" if split == "test" else split
        lines = (config.root / f"jester-v1-{suffix}.csv").read_text(encoding="utf-8").split("\n")
        for key, name in (line.split(";") for line in lines if line):
            path = config.root / "joints" / f"{key}.npy"
            joints = plain_joints(_read_bytes(path), str(path), ".npy")
            sequences.append(Sequence(key, joints, names.index(name), None, str(path)))
            given[key] = split
    return SkeletonIndex(names, sequences, [], given)


def _read_folder(config: SkeletonFolderData, progress: bool) -> SkeletonIndex:
    """``root/[<split>/]<class>/<sequence>``, or the rows of a CSV."""
    if config.csv:
        rows = [(*row[1:5], row[6]) for row in csv_rows(config)]  # the number of frames is unused
    else:
        rows = list(_folder_rows(config.root, progress))
    if not rows:
        raise Gesture3dError(
            f"{config.root}: no sequences; put {', '.join(PLAIN_SUFFIXES)} files into "
            f"{config.root}/<class>/, or set data.root"
        )
    names = tuple(sorted({name for _, _, name, _, _ in rows}))
    labels = {name: number for number, name in enumerate(names)}
    sequences, given, split_of_group = [], {}, {}
    for key, path, name, group, split in rows:
        joints = read_joints(path, config)
        sequences.append(Sequence(key, joints, labels[name], group, str(path)))
        if split:
            given[key] = split
            other = split_of_group.setdefault(group or key, split)
            if other != split:
                raise Gesture3dError(f"{config.csv}: group {group!r} is in {other} and {split}")
    if not given and config.folds == "official":
        shares = (config.validation_share, config.test_share)
        splits = split_by_shares(sequences, names, *shares, config.seed)
        given = {s.key: split for split, members in splits.items() for s in members}
    return SkeletonIndex(names, sequences, [], given)


def _folder_rows(root: Path, progress: bool) -> Iterator[tuple[str, Path, str, None, str]]:
    if not root.is_dir():
        raise Gesture3dError(f"no folder {root}: set data.root to where the sequences are")
    walk = Walk()
    for split, class_folder in class_folders(root, walk):
        files, _ = walk.enter(class_folder)
        walk.leave_out(path for path in files if path.suffix.lower() not in PLAIN_SUFFIXES)
        for path in files:
            if path.suffix.lower() in PLAIN_SUFFIXES:
                yield path.relative_to(root).as_posix(), path, class_folder.name, None, split
    walk.report(progress)


def _files(root: Path, name: str, suffix: str) -> Iterator[tuple[str, str, bytes]]:
    """(name, where, content) of the files in ``root/name.zip``, or below ``root/name``, sorted."""
    archive, folder, found = root / f"{name}.zip", root / name, False
    if archive.is_file():
        with naming(archive):
            file = ZipReader(archive)
        with file:
            for member in sorted(file.names):
                if member.endswith(suffix) and not Path(member).name.startswith("."):
                    with naming(f"{archive}/{member}"):
                        content = file.read(member)
                    found = True
                    yield member, f"{archive}/{member}", content
    elif folder.is_dir():
        for path in Walk().files_below(folder, [suffix]):
            found = True
            yield str(path), str(path), _read_bytes(path)
    else:
        raise Gesture3dError(f"{root}: neither {name}.zip nor {name}/ there; set data.root")
    if not found:
        raise Gesture3dError(f"{archive if archive.is_file() else folder}: no {suffix} files in it")


def _read_bytes(path: Path) -> bytes:
    with naming(path):
        return read_file(path)


_READERS = {
    "utd_mhad_skeleton": _read_utd,
    "sfinge3d": _read_sfinge,
    "shrec17": _read_shrec,
    "sbu_kinect": _read_sbu,
    "skeleton_folder": _read_folder,
    "synthetic_joints": _read_synthetic,
}
