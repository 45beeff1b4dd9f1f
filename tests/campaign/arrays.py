"""Sequences and recordings: NumPy, MATLAB and text files, and the archives they come in."""

import ast
import io
import itertools
import struct
import zipfile
from pathlib import Path

import numpy as np
from scipy.io import savemat

from gesture3d.config import load_data
from gesture3d.data.inertial.recording import read_recording
from gesture3d.data.inertial.signal import prepare

from .judge import Kind, Outcome, outcome
from .texts import count_lines, odd_table


def walk(frames: int, *shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(0, 0.05, (frames, *shape)), axis=0)


def rows_of(table: np.ndarray, separator: str = " ", header: str = "") -> bytes:
    lines = [separator.join(f"{value:.5f}" for value in row) for row in table]
    return ("\n".join([header] * bool(header) + lines) + "\n").encode()


# --- one sequence a file -------------------------------------------------------------------------


def _make_npy(folder: Path) -> list[Path]:
    np.save(folder / "cube.npy", walk(12, 5, 3).astype(np.float32))
    np.save(folder / "flat.npy", walk(12, 15))
    return sorted(folder.glob("*.npy"))


def _make_npz(folder: Path) -> list[Path]:
    np.savez(folder / "plain.npz", joints=walk(12, 5, 3).astype(np.float32))
    np.savez_compressed(folder / "compressed.npz", joints=walk(12, 5, 3))
    return sorted(folder.glob("*.npz"))


def _make_csv(folder: Path) -> list[Path]:
    table = walk(12, 15)
    (folder / "plain.csv").write_bytes(rows_of(table, ","))
    header = ",".join(f"j{number // 3}{'xyz'[number % 3]}" for number in range(15))
    (folder / "header.csv").write_bytes(rows_of(table, ",", header))
    return sorted(folder.glob("*.csv"))


def _read_plain(folder: Path, path: Path) -> Outcome:
    return _sequence(load_data("skeleton_folder", [f"data.root={folder}"]).joints_of(path))


def _sequence(joints: np.ndarray) -> Outcome:
    return outcome((joints.shape[0], joints.shape[1]), joints)


def _npy_frames(path: Path) -> int | None:
    """What the header says, where the numbers behind it are just so many bytes."""
    content = path.read_bytes()
    try:
        size = struct.unpack("<H", content[8:10])[0]
        header = ast.literal_eval(content[10 : 10 + size].decode("latin-1"))
        wanted = np.dtype(header["descr"]).itemsize * int(np.prod(header["shape"]))
    except (ValueError, SyntaxError, TypeError, KeyError, struct.error):
        return None
    return header["shape"][0] if wanted == len(content) - 10 - size else None


def _csv_frames(path: Path) -> int | None:
    """Lines, of which the first may be a header."""
    count = count_lines(path)
    header = any(c.isalpha() for c in path.read_text("utf-8", "replace").lstrip().split("\n")[0])
    return count - header


def _make_flat_npy(folder: Path) -> list[Path]:
    np.save(folder / "one.npy", walk(30).astype(np.float32))
    np.save(folder / "several.npy", walk(12, 6))
    return sorted(folder.glob("*.npy"))


def _read_values(folder: Path, path: Path) -> Outcome:
    return _sequence(load_data("sequence_folder", [f"data.root={folder}"]).joints_of(path))


def _make_ts(folder: Path) -> list[Path]:
    return _make_archive(folder, ".ts", ["@timeStamps false", "@classLabel true a b c"], ":", ":")


def _make_arff(folder: Path) -> list[Path]:
    steps = [f"@attribute t{number} numeric" for number in range(9)]
    head = ["@attribute all relational", *steps, "@end all", "@attribute class {a,b,c}"]
    return _make_archive(folder, ".arff", head, "\\n", "',")


def _make_archive(
    folder: Path, suffix: str, head: list[str], between: str, behind: str
) -> list[Path]:
    for number, end in enumerate(("TRAIN", "TEST")):
        lines = ["@relation x" if suffix == ".arff" else "@problemName x", *head, "@data"]
        for case in range(12):
            table = walk(9, 2, seed=100 * number + case)
            channels = between.join(",".join(f"{v:.4f}" for v in row) for row in table.T)
            lines.append(f"{chr(39) * (behind[0] == chr(39))}{channels}{behind}{'abc'[case % 3]}")
        (folder / f"x_{end}{suffix}").write_text("\n".join(lines) + "\n")
    return sorted(folder.iterdir())


def _read_archive(folder: Path, path: Path) -> Outcome:
    """How many cases the file gives, and all of both."""
    index = load_data("sequence_folder", [f"data.root={folder}"]).read(progress=False)
    contents = [(item.key, item.label, item.split) for item in index.items]
    arrays = [item.content for item in index.items]
    count = sum(key.startswith(f"{path.stem}:") for key, *_ in contents)
    return outcome((count,), index.class_names, contents, *arrays)


def _archive_cases(path: Path) -> int | None:
    """Lines behind @data that are neither empty nor comments, as the formats have it."""
    lines = path.read_text("utf-8", "replace").splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    starts = [n for n, line in enumerate(lines) if line.lower().split()[0] == "@data"]
    comments = "%" if path.suffix == ".arff" else "#%"
    return sum(line[0] not in comments for line in lines[starts[0] + 1 :]) if starts else None


def _make_utd_mat(folder: Path) -> list[Path]:
    for name, options in (("plain", {}), ("compressed", {"do_compression": True})):
        savemat(folder / f"{name}.mat", {"d_skel": walk(12, 20, 3).transpose(1, 2, 0)}, **options)
    return sorted(folder.glob("*.mat"))


def _make_sfinge(folder: Path) -> list[Path]:
    table = walk(12, 140).round(5)
    (folder / "1.txt").write_bytes(rows_of(table, ";"))
    return [folder / "1.txt"]


def _make_shrec(folder: Path) -> list[Path]:
    (folder / "skeletons_world.txt").write_bytes(rows_of(walk(12, 66)))
    return [folder / "skeletons_world.txt"]


def _make_sbu(folder: Path) -> list[Path]:
    table = np.concatenate([np.arange(1, 13)[:, None], walk(12, 90)], axis=1)
    (folder / "skeleton_pos.txt").write_bytes(rows_of(table, ","))
    return [folder / "skeleton_pos.txt"]


def _read_native(recipe: str):
    def read(folder: Path, path: Path) -> Outcome:
        return _sequence(load_data(recipe, [f"data.root={folder}"]).joints_of(path))

    return read


def _make_ntu(folder: Path) -> list[Path]:
    """12 frames, in which one person is seen and, in the middle, another one."""
    joints = walk(12, 2, 25, 3)
    lines = ["12"]
    for frame in range(12):
        people = [0, 1] if 4 <= frame < 8 else [0]
        lines.append(str(len(people)))
        for person in people:
            lines += [f"7205759403793{person} 0 1 1 1 1 0 -0.04 -0.01 2", "25"]
            rest = "277.9 191.5 1036.2 519.9 -0.2 0.03 0.96 -0.05 2"
            lines += ["{:.6f} {:.6f} {:.6f} ".format(*j) + rest for j in joints[frame, person]]
    (folder / "S001C001P001R001A001.skeleton").write_text("\n".join(lines) + "\n")
    return sorted(folder.iterdir())


def _make_recorded_mat(folder: Path) -> list[Path]:
    (folder / "a1_s1_t1_inertial.mat").write_bytes(_mat(d_iner=walk(140, 6)))
    return sorted(folder.iterdir())


def _read_recording(folder: Path, path: Path) -> Outcome:
    config = load_data("utd_mhad_inertial", [f"data.root={folder}"])
    recording = prepare(read_recording(path, config), config, str(path))  # gaps may be NaN before
    return outcome((len(recording),), recording)


def _make_uci_har(folder: Path) -> list[Path]:
    (folder / "activity_labels.txt").write_text("1 WALKING\n2 SITTING\n3 LAYING\n")
    paths = []
    for split in ("train", "test"):
        signals = folder / split / "Inertial Signals"
        signals.mkdir(parents=True)
        for name in ("y", "subject"):
            paths.append(folder / split / f"{name}_{split}.txt")
            paths[-1].write_text("1\n2\n3\n1\n2\n3\n")
        for sensor in ("body_acc", "body_gyro", "total_acc"):
            for axis in "xyz":
                paths.append(signals / f"{sensor}_{axis}_{split}.txt")
                paths[-1].write_bytes(rows_of(walk(6, 128)))
    return paths


def _read_uci_har(folder: Path, _: Path) -> Outcome:
    return _windows(folder, "uci_har")


# --- archives ------------------------------------------------------------------------------------


def archived(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def _mat(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    savemat(content, arrays)
    return content.getvalue()


def _make_utd_zip(folder: Path) -> list[Path]:
    members = {
        f"Skeleton/a{action}_s{subject}_t1_skeleton.mat": _mat(
            d_skel=walk(8, 20, 3, seed=action).transpose(1, 2, 0)
        )
        for action in (1, 2, 3)
        for subject in (1, 2)
    }
    return [archived(folder / "Skeleton.zip", members)]


def _make_sfinge_zip(folder: Path) -> list[Path]:
    members = {
        f"Dictionary/{label}/{number}.txt": rows_of(walk(8, 140, seed=number), ";")
        for label in (1, 2, 3)
        for number in (1, 2, 7)
    }
    return [archived(folder / "Dictionary.zip", members)]


def _read_skeleton_zip(recipe: str):
    def read(folder: Path, _: Path) -> Outcome:
        index = load_data(recipe, [f"data.root={folder}"]).read(progress=False)
        rows = [(s.key, s.label, s.group) for s in index.items]
        joints = np.concatenate([s.content.ravel() for s in index.items])
        return outcome((len(rows), joints.size), rows, joints)

    return read


def _make_inertial_zip(folder: Path) -> list[Path]:
    members = {
        f"Inertial/a{action}_s{subject}_t1_inertial.mat": _mat(d_iner=walk(140, 6, seed=action))
        for action in (1, 2)
        for subject in (1, 2)
    }
    return [archived(folder / "Inertial.zip", members)]


def hapt_files() -> dict[str, bytes]:
    names = ("WALKING", "UPSTAIRS", "DOWNSTAIRS", "SITTING", "STANDING", "LAYING")
    members = {
        "activity_labels.txt": "".join(f"{n} {name}\n" for n, name in enumerate(names, 1)).encode(),
        "RawData/labels.txt": b"1 1 1 1 150\n1 1 2 151 300\n2 2 1 1 150\n2 2 2 151 300\n",
        "Test/subject_id_test.txt": b"2\n",
    }
    for number in (1, 2):
        for seed, sensor in enumerate(("acc", "gyro")):
            table = walk(300, 3, seed=10 * number + seed)
            members[f"RawData/{sensor}_exp{number:02d}_user{number:02d}.txt"] = rows_of(table)
    return members


def _make_hapt_zip(folder: Path) -> list[Path]:
    return [archived(folder / "HAPT Data Set.zip", hapt_files())]


def _make_hapt_nested(folder: Path) -> list[Path]:
    archived(folder / "inner", {f"HAPT Data Set/{n}": c for n, c in hapt_files().items()})
    outer = archived(folder / "hapt.zip", {"HAPT Data Set.zip": (folder / "inner").read_bytes()})
    (folder / "inner").unlink()
    return [outer]


def _make_hapt_folder(folder: Path) -> list[Path]:
    for name, content in hapt_files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return [folder / name for name in hapt_files()]


def _read_hapt(folder: Path, path: Path) -> Outcome:
    return _windows(folder, "hapt", "data.window=64", "data.step=32")


def _read_inertial_zip(folder: Path, _: Path) -> Outcome:
    return _windows(folder, "utd_mhad_inertial", "data.resample=true", "data.window=64")


def _windows(folder: Path, recipe: str, *settings: str) -> Outcome:
    found = load_data(recipe, [f"data.root={folder}", *settings]).read()
    rows = [(i.key, i.label, i.group, i.split) for i in found.items]
    windows = np.stack([i.content for i in found.items])
    return outcome((len(rows),), rows, found.class_names, windows)


def _make_recordings(folder: Path) -> list[Path]:
    for number in (1, 2):
        table = walk(120, 6, seed=number)
        lines = [
            "label,subject,time," + ",".join(f"{s}_{a}" for s in ("acc", "gyro") for a in "xyz")
        ]
        for row, values in enumerate(table):
            label = ("walk", "sit")[row // 60]
            numbers = ",".join(f"{v:.4f}" for v in values)
            lines.append(f"{label},p{number},{row / 50:.2f},{numbers}")
        (folder / f"{number}.csv").write_text("\n".join(lines) + "\n")
    return sorted(folder.glob("*.csv"))


def _read_recordings(folder: Path, _: Path) -> Outcome:
    return _windows(folder, "inertial_folder", "data.window=8", "data.step=8")


def _recorded_windows(path: Path) -> int:
    """Windows of 8 rows in each stretch of one label and subject, as documented, in all files."""
    count = 0
    for file in path.parent.glob("*.csv"):
        header, *lines = file.read_text("utf-8", "replace").splitlines()
        names = [name.strip() for name in header.split(",")]
        known = [names.index(name) for name in ("label", "subject") if name in names]
        keys = [[line.split(",")[n].strip() for n in known] for line in lines]
        for key, stretch in itertools.groupby(keys):
            count += len(list(stretch)) // 8 if key[0] else 0
    return count


def kinds() -> list[Kind]:
    def table(name: str, make, read, holds=count_lines) -> Kind:
        return Kind(name, make, read, holds, odd_table)

    return [
        Kind("skeleton .npy", _make_npy, _read_plain, _npy_frames),
        Kind("skeleton .npz", _make_npz, _read_plain),
        table("skeleton .csv", _make_csv, _read_plain, _csv_frames),
        Kind("sequence .npy", _make_flat_npy, _read_values, _npy_frames),
        table("sequence .csv", _make_csv, _read_values, _csv_frames),
        table("archive .ts", _make_ts, _read_archive, _archive_cases),
        table("archive .arff", _make_arff, _read_archive, _archive_cases),
        Kind("skeleton .mat (UTD-MHAD)", _make_utd_mat, _read_native("utd_mhad_skeleton")),
        table("skeleton .skeleton (NTU)", _make_ntu, _read_plain),
        table("skeleton .txt (SFINGE3D)", _make_sfinge, _read_native("sfinge3d")),
        table("skeleton .txt (SHREC'17)", _make_shrec, _read_native("shrec17")),
        table("skeleton .txt (SBU)", _make_sbu, _read_native("sbu_kinect")),
        Kind("Skeleton.zip (UTD-MHAD)", _make_utd_zip, _read_skeleton_zip("utd_mhad_skeleton")),
        Kind("Dictionary.zip (SFINGE3D)", _make_sfinge_zip, _read_skeleton_zip("sfinge3d")),
        Kind("Inertial.zip (UTD-MHAD)", _make_inertial_zip, _read_inertial_zip),
        Kind("HAPT zip", _make_hapt_zip, _read_hapt),
        Kind("HAPT zip in a zip", _make_hapt_nested, _read_hapt),
        table("HAPT folder", _make_hapt_folder, _read_hapt),
        table("UCI HAR folder", _make_uci_har, _read_uci_har),
        Kind("recording .mat (UTD-MHAD)", _make_recorded_mat, _read_recording),
        table("recordings .csv", _make_recordings, _read_recordings, _recorded_windows),
    ]
