"""S3, spoken by a server here: in and out give what files give; what fails says where."""

import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.work.merge import only_work
from gesture3d.work.places import Store, filesystem
from tests.work.test_collections import begin, clips, do, merged  # noqa: F401

pytest.importorskip("s3fs", reason="s3fs is not installed (gesture3d[s3])")
server = pytest.importorskip("moto.server", reason="moto[server] is not installed: an S3 to test")


@pytest.fixture
def s3(monkeypatch):
    """A server with a bucket."""
    running = server.ThreadedMotoServer("127.0.0.1", port=0)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fs, _ = filesystem("s3://bucket")
    fs.makedirs("bucket", exist_ok=True)
    yield fs
    type(fs).clear_instance_cache()  # it knows the server's address
    running.stop()


def test_what_lies_on_s3_is_classified_as_files_are(s3, clips, tmp_path) -> None:  # noqa: F811
    s3.put(str(clips), "bucket/clips", recursive=True)
    do(begin("s3://bucket/out", "s3://bucket/clips"))
    files = begin(str(tmp_path / "out"), str(clips))
    do(files)
    table = merged(only_work(Store("s3://bucket/out")), tmp_path / "s3.csv")
    assert table == merged(files, tmp_path / "files.csv")


@pytest.mark.parametrize(
    ("listed", "out", "where"),
    [
        ("s3://nosuch/clips", "s3://bucket/other", "s3://nosuch/clips: "),
        ("s3://bucket/clips", "s3://nosuch/out", "s3://nosuch/out/"),
    ],
)
def test_a_bucket_that_is_not_there_is_named(s3, listed, out, where) -> None:
    s3.pipe_file("bucket/clips/a.mp4", b"a clip")
    with pytest.raises((Gesture3dError, OSError), match=f"^{where}.*does not exist"):
        begin(out, listed)


def test_a_server_that_is_away_is_one_line(s3, monkeypatch) -> None:
    """botocore's error is no OSError; it becomes one, which a tool says in a line."""
    type(s3).clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(OSError, match=r"^s3://bucket/out/manifest.json: Could not connect"):
        begin("s3://bucket/out", "s3://bucket/clips")
