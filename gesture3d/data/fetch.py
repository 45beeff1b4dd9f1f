"""Data sets with a public address: download, verify, and say what must be registered for.

Downloads go through pooch (``pip install gesture3d[fetch]``). A file whose SHA-256 is known is
verified against it. Of others the SHA-256 of the first download is written to ``checksums.txt``
beside them, and every later download must match it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from gesture3d.errors import Gesture3dError, did_you_mean
from gesture3d.files import write_text
from gesture3d.hands.weights import PUBLISHED


@dataclass(frozen=True)
class RemoteFile:
    """One file: its address, its name here, and its SHA-256 where it is known."""

    url: str
    sha256: str | None = None
    name: str = ""

    @property
    def file_name(self) -> str:
        return self.name or unquote(self.url.rsplit("/", 1)[-1])


@dataclass(frozen=True)
class Source:
    """Where a data set comes from: files to download, or what to do by hand and the layout."""

    files: tuple[RemoteFile, ...] = ()
    by_hand: str = ""


_UCI = "https://archive.ics.uci.edu/static/public"
_UTD = "https://www.utdallas.edu/~kehtar/UTD-MAD"
SOURCES: dict[str, Source] = {
    "uci_har": Source(
        (
            RemoteFile(
                f"{_UCI}/240/human+activity+recognition+using+smartphones.zip", None, "UCI HAR.zip"
            ),
        )
    ),
    "uci_hapt": Source(
        (
            RemoteFile(
                f"{_UCI}/341/smartphone+based+recognition+of+human+activities+and+postural"
                "+transitions.zip",
                None,
                "HAPT.zip",
            ),
        )
    ),
    "opportunity": Source(
        (
            RemoteFile(
                f"{_UCI}/226/opportunity+activity+recognition.zip", None, "OpportunityUCI.zip"
            ),
        )
    ),
    "utd_mhad": Source(
        (
            RemoteFile(f"{_UTD}/Skeleton.zip"),
            RemoteFile(
                f"{_UTD}/Inertial.zip",
                "1900de05775c04626dee30b34638b79dd739d481786f0a788f2fbb00663abea4",
            ),
            RemoteFile(f"{_UTD}/Depth.zip"),
        )
    ),
    "hands": Source(  # networks, not data: `gesture3d.hands`
        tuple(
            RemoteFile(f"https://storage.googleapis.com/mediapipe-assets/{name}.tflite", sha256)
            for name, sha256 in PUBLISHED.items()
        )
    ),
    "jester": Source(
        by_hand="register at https://www.qualcomm.com/developer/software/jester-dataset; "
        "data/jester must then hold jester-v1-labels.csv, jester-v1-train.csv, "
        "jester-v1-validation.csv, jester-v1-test.csv and the folder 20bn-jester-v1 with "
        "<id>/00001.jpg, ... or <id>.webm"
    ),
    "isogd": Source(
        by_hand="register at https://gesture.chalearn.org/2016-looking-at-people-cvpr-challenge/"
        "isogd-and-congd-datasets; data/isogd must then hold train_list.txt, valid_list.txt, "
        "test_list.txt and the folders train, valid, test with 001/M_00001.avi, "
        "001/K_00001.avi, ..."
    ),
    "shrec17": Source(
        by_hand="download http://www-rech.telecom-lille.fr/shrec2017-hand/ by hand; "
        "data/HandGestureDataset_SHREC2017 must then hold train_gestures.txt, "
        "test_gestures.txt and gesture_1 ... gesture_14"
    ),
    "sfinge3d": Source(
        by_hand="ask its authors at the University of Verona (Caputo et al., Computers & Graphics "
        "2020); data/sfinge3d must then hold Dictionary.zip"
    ),
    "egogestar": Source(
        by_hand="see https://varunj.github.io/gestarlite (arXiv 1904.09843); "
        "data/egogestar_video must then hold clips.csv and the videos that it lists"
    ),
}


def fetch(
    name: str,
    folder: Path,
    sources: Mapping[str, Source] = SOURCES,
    progress: bool = True,
) -> list[Path]:
    """Download a data set's files into ``folder``; what is there and whole stays.

    Raises:
        Gesture3dError: an unknown set, one that is not public (with what to do), no connection, a
            full disk, or a file with another checksum, which is not kept.
    """
    if name not in sources:
        hint = did_you_mean(name, sources)
        raise Gesture3dError(f"no data set {name!r} to fetch: {', '.join(sources)}.{hint}")
    source = sources[name]
    if not source.files:
        raise Gesture3dError(f"{name} cannot be fetched by a program: {source.by_hand}")
    return [_fetch_file(remote, folder, progress) for remote in source.files]


def _fetch_file(remote: RemoteFile, folder: Path, progress: bool) -> Path:
    try:
        import pooch
    except ImportError:
        raise Gesture3dError(
            "downloading needs pooch: pip install 'gesture3d[fetch]', or put "
            f"{remote.url} into {folder} as {remote.file_name}"
        ) from None
    pooch.get_logger().setLevel("ERROR")
    seen = _read_checksums(folder)
    expected = remote.sha256 or seen.get(remote.file_name)
    path = folder / remote.file_name
    if expected and path.is_file() and pooch.file_hash(str(path)) == expected:
        return path
    if not expected and path.is_file():
        raise Gesture3dError(f"{path} is there, but of unknown origin: remove it to fetch it anew")
    try:
        pooch.retrieve(
            remote.url,
            known_hash=f"sha256:{expected}" if expected else None,
            fname=remote.file_name,
            path=folder,
            progressbar=progress,
        )
    except ValueError as error:  # another checksum; pooch has removed what it downloaded
        reason = " ".join(str(error).split())
        raise Gesture3dError(f"{remote.url}: not the file that was expected: {reason}") from None
    except OSError as error:  # requests' errors are OSErrors too
        reason = " ".join(str(error).split())[:200]
        raise Gesture3dError(f"{remote.url} cannot be fetched into {folder}: {reason}") from None
    if not expected:
        seen[remote.file_name] = pooch.file_hash(str(path))
        lines = "".join(f"{digest}  {file}\n" for file, digest in sorted(seen.items()))
        write_text(folder / "checksums.txt", lines)
    return path


def _read_checksums(folder: Path) -> dict[str, str]:
    """File name → SHA-256, of files whose checksum nobody publishes."""
    try:
        lines = (folder / "checksums.txt").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split("  ", 1) for line in lines if "  " in line)
    return {name: digest for digest, name in pairs}
