"""Anyone's CSV files: stretches, held-out subjects, and mistakes with their line."""

from tests.data.inertial.layouts import datasets, refused, stacked, write_csv

SMALL = ("data.window=10", "data.step=5")


def test_recordings_are_cut_inside_their_stretches(tmp_path):
    write_csv(tmp_path / "anna.csv", 60, lambda n: "walk" if n < 33 else "" if n < 40 else "sit")
    write_csv(tmp_path / "ben.csv", 20, lambda n: "sit", extra="split=test")
    found = datasets("inertial_folder", tmp_path, *SMALL)
    assert found.spec.num_features == 3
    assert found.class_names == ("sit", "walk")
    assert [found.class_names[n] for n in found.train.labels] == ["walk"] * 5 + ["sit"] * 3
    assert found.train.keys[:2] == ["anna:2", "anna:7"]
    assert stacked(found.train)[1, :, 0].tolist() == list(range(5, 15))
    assert len(found.test) == 3
    write_csv(tmp_path / "ben.CSV", 20, lambda n: "sit")
    (tmp_path / "ben.csv").unlink()
    held_out = datasets("inertial_folder", tmp_path, *SMALL, "data.test_groups=[ben]")
    assert len(held_out.test) == 3


def test_held_out_subjects_are_never_trained_on_by_mistake(tmp_path):
    for name in ("anna", "ben", "carl"):
        write_csv(tmp_path / f"{name}.csv", 40, lambda n: "sit" if n < 20 else "walk")

    def message(*overrides: str) -> str:
        return refused("inertial_folder", tmp_path, *SMALL, *overrides)

    wrong = message("data.test_groups=[ana]")
    assert (
        "no group 'ana' in the training part; it has anna, ben, carl. Did you mean 'anna'?" in wrong
    )
    write_csv(tmp_path / "ben.csv", 20, lambda n: "sit", extra="split=validation")
    assert "comes with a split already" in message("data.test_groups=[anna]")
    assert "comes with a validation split" in message("data.validation_groups=[anna]")
    write_csv(tmp_path / "ben.csv", 20, lambda n: "jump", extra="split=validation")
    assert "class 'jump' is in validation but not in train" in message()


def test_windows_that_were_cut_already_are_taken_as_they_are(tmp_path):
    lines = ["window,x,label"] + [f"{n // 4},{n},{'ab'[n // 4 % 2]}" for n in range(16)]
    (tmp_path / "w.csv").write_text("\n".join(lines))
    found = datasets("inertial_folder", tmp_path / "w.csv", "data.window=4")
    assert stacked(found.train)[:, :, 0].tolist() == [list(range(s, s + 4)) for s in (0, 4, 8, 12)]
    assert found.train.labels.tolist() == [0, 1, 0, 1]
    (tmp_path / "w.csv").write_text("\n".join(lines[:-1]))
    message = refused("inertial_folder", tmp_path / "w.csv", "data.window=4")
    assert "w.csv, line 14: a window of 3 rows, but data.window is 4" in message


def test_csv_mistakes_are_named_with_their_line(tmp_path):
    path = tmp_path / "a.csv"

    def message(text: str, *overrides: str) -> str:
        path.write_text(text)
        return refused("inertial_folder", path, *SMALL, *overrides)

    write_csv(path, 40, lambda n: "walk")
    good = path.read_text()
    assert "line 5: x '7m' is no number" in message(good.replace("0.060,3,", "0.060,7m,"))
    infinite = good.replace("0.060,3,", "0.060,inf,")
    assert "line 5: channel 1 is infinite" in message(infinite)
    assert "line 1: column 1 has no name" in message(good.replace("time,", ",", 1))
    assert "line 1: column 3 is called 'x', as an earlier" in message(good.replace(",y,", ",x,", 1))
    assert "line 4: 4 cells, 5 columns" in message(good.replace("0.040,2,-2,1,", "0.040,2,-2,"))
    other = message(good, "data.label_column=activity", "data.ignore_columns=[label]")
    assert "line 1: no column 'activity'" in other
    assert "sampled at 50.0 Hz, but data.rate_hz is 100" in message(good, "data.rate_hz=100")
    assert "line 7: the time goes from 0.08 to 60.1 s" in message(good.replace("\n0.1", "\n60.1"))
    gap = good
    for n in range(3, 33):
        gap = gap.replace(f"{n / 50:.3f},{n},", f"{n / 50:.3f},,")
    assert "channel 1 has no values for 30 samples; at most 25" in message(gap)
    assert "no stretch of one label holds 100 samples" in message(good, "data.window=100")
    assert "no .csv files there" in refused("inertial_folder", tmp_path / "nowhere")
