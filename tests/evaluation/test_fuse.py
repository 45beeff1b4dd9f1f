"""Files of predictions, and their fusion sample by sample."""

import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest

from gesture3d.errors import Gesture3dError
from gesture3d.evaluation.fuse import (
    Stream,
    align,
    check_fitting,
    contributions,
    fit_weights,
    fuse,
)
from gesture3d.evaluation.predictions import (
    SplitPredictions,
    read_predictions,
    write_predictions,
)
from gesture3d.files import PACKAGE
from gesture3d.rng import generator
from tests.forked_runs import run_forked

NAMES = ("wave", "NULL", "swipe, left", 'a "quoted" one')
TOOL = PACKAGE / "cli" / "fuse.py"


def predictions(
    seed: int, *, skill: float = 1.5, count: int = 200, split: str = "test", data: str = "joints"
) -> SplitPredictions:
    """Scores of a network of some skill; keys and labels are the same for every seed."""
    labels = generator("labels", split).integers(0, len(NAMES), count)
    scores = generator("scores", seed, split).normal(size=(count, len(NAMES)))
    scores[np.arange(count), labels] += skill
    keys = [f"{split}/{n:04d}" for n in range(count)]
    return SplitPredictions(keys, scores.astype(np.float32), labels, NAMES, data, split)


def streams(*members: SplitPredictions) -> list[Stream]:
    return [Stream(f"{letter}.csv", p) for letter, p in zip("abcd", members, strict=False)]


def probabilities(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores.astype(np.float64))
    return e / e.sum(axis=1, keepdims=True)


# --- the file ------------------------------------------------------------------------------------


def test_a_file_gives_back_the_very_numbers(tmp_path) -> None:
    """Also of tiny, huge and random bit patterns, names with commas, unknown labels."""
    rng = generator("bits")
    bits = rng.integers(0, 2**32, 4000, dtype=np.uint32).view(np.float32)
    scores = bits[np.isfinite(bits)][:3600].reshape(-1, 4)
    scores[0] = [0, np.float32(1e-45), -np.finfo(np.float32).max, 1 / 3]
    keys = [f"a,{n:05d}" for n in range(len(scores))]
    labels = rng.integers(-1, 4, len(scores))
    written = SplitPredictions(keys, scores, labels, NAMES, "utd_mhad_depth", "validation")
    write_predictions(tmp_path / "p.csv", written)
    found = read_predictions(tmp_path / "p.csv")
    assert found.scores.dtype == np.float32
    assert np.array_equal(found.scores.view(np.uint32), scores.view(np.uint32))
    assert (found.keys, found.class_names) == (keys, NAMES)
    assert np.array_equal(found.labels, labels)
    assert (found.data, found.split) == ("utd_mhad_depth", "validation")


def test_any_name_of_a_file_or_class_can_be_read_back(tmp_path) -> None:
    names = ("a|b\nc", "lone \r", "\u2028\x85\x0b\t", ' "', "挥手 👋")
    keys = sorted(f"{name}/\r\n{n}" for n, name in enumerate(names))
    scores = np.eye(5, dtype=np.float32)
    written = SplitPredictions(keys, scores, np.arange(5), names, "set", "test")
    write_predictions(tmp_path / "p.csv", written)
    found = read_predictions(tmp_path / "p.csv")
    assert (found.keys, found.class_names) == (keys, names)
    assert np.array_equal(found.labels, written.labels)


def test_many_classes_take_no_longer_than_their_number(tmp_path) -> None:
    """20,000 columns; a class of two columns is refused."""
    count = 20_000
    fixed = "key,label,prediction,data,split"
    rows = [f"k{n},{count - 1},0,set,test" + ",0" * count for n in range(10)]
    text = "\n".join([",".join([fixed, *map(str, range(count))]), *rows])
    (tmp_path / "p.csv").write_text(text)
    assert read_predictions(tmp_path / "p.csv").labels.tolist() == [count - 1] * 10
    (tmp_path / "p.csv").write_text(text.replace(",7,8,", ",7,7,", 1))
    with pytest.raises(Gesture3dError, match="1 doubled class name: 7"):
        read_predictions(tmp_path / "p.csv")


def test_a_file_is_readable(tmp_path) -> None:
    scores = np.array([[0.5, 0.1, 2.25], [3, -1, 0]], np.float32)
    given = SplitPredictions(["7", "8"], scores, np.array([2, -1]), ("a", "b", "c"), "set", "test")
    write_predictions(tmp_path / "p.csv", given)
    assert (tmp_path / "p.csv").read_text() == (
        "key,label,prediction,data,split,a,b,c\n7,c,c,set,test,0.5,0.1,2.25\n"
        "8,,a,set,test,3.0,-1.0,0.0\n"
    )


GOOD = "key,label,prediction,data,split,a,b\nk1,a,a,set,test,1,0\nk2,b,a,set,test,1,0\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("key,label", "id,label", "not a file of predictions"),
        (",a,b\n", "\n", "not a file of predictions"),
        ("k2,b,a,set,test,1,0\n", "k2,b,a,set", "line 3 has 4 columns, the first has 7"),
        ("k2", "k1", "1 double key: k1"),
        ("k2,b", "k2,waev", "sample 'k2' has the label 'waev', which is no class"),
        ("k2,b,a,set,test", "k2,b,a,set,train", "samples of several splits: test, train"),
        ("k2,b,a,set,test,1", "k2,b,a,set,test,nan", "scores of 1 samples are not finite.*'k2'"),
        ("k2,b,a,set,test,1", "k2,b,a,set,test,1e99", "not finite"),
        ("k2,b,a,set,test,1", "k2,b,a,set,test,x", "sample 'k2': could not convert .*'x'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, old: str, new: str, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(GOOD)
    assert read_predictions(path).keys == ["k1", "k2"]
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(Gesture3dError, match=message) as caught:
        read_predictions(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_empty_files_are_refused(tmp_path) -> None:
    with pytest.raises(Gesture3dError, match="no such file of predictions"):
        read_predictions(tmp_path / "p.csv")
    for text, message in ((GOOD.split("\n")[0] + "\n", "no samples"), ("", "not a file of")):
        (tmp_path / "p.csv").write_text(text)
        with pytest.raises(Gesture3dError, match=message):
            read_predictions(tmp_path / "p.csv")


# --- the rules -----------------------------------------------------------------------------------


def test_mean_and_product_are_those_of_the_probabilities() -> None:
    members = [predictions(seed) for seed in range(3)]
    each = np.stack([probabilities(m.scores) for m in members])
    mean = fuse(streams(*members), "mean").predictions
    np.testing.assert_allclose(mean.probabilities, each.mean(axis=0), atol=1e-6)
    product = fuse(streams(*members), "product").predictions
    geometric = each.prod(axis=0) ** (1 / 3)
    expected = geometric / geometric.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(product.probabilities, expected, atol=1e-6)
    assert mean.data == "joints+joints+joints"
    assert mean.correct.mean() > max(m.correct.mean() for m in members)


def test_fusion_does_not_depend_on_a_shift_of_scores_or_the_order_of_streams() -> None:
    a, b = predictions(0), predictions(1)
    shifted = replace(b, scores=b.scores + generator("shift").normal(size=(200, 1)).astype("f4"))
    for rule in ("mean", "product"):
        one = fuse(streams(a, b), rule).predictions.scores
        other = fuse(streams(shifted, a), rule).predictions.scores
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_sure_streams_neither_overflow_nor_vanish() -> None:
    """Scores in the thousands, and streams that contradict each other without any doubt."""
    sure = [replace(p, scores=p.scores * 2000) for p in (predictions(0), predictions(1))]
    for rule in ("mean", "product"):
        assert np.isfinite(fuse(streams(*sure), rule).predictions.scores).all()
    weights = fit_weights(streams(*sure))
    assert np.isfinite(weights).all()


def test_fitted_weights_minimise_the_cross_entropy() -> None:
    """Against a grid over the weights of three streams of different skill."""
    members = [predictions(n, skill=s, split="validation") for n, s in enumerate((2.0, 1.6, 0.0))]
    weights = fit_weights(streams(*members))
    each = [probabilities(m.scores) for m in members]
    rows, labels = np.arange(200), members[0].labels

    def loss(*w: float) -> float:
        pooled = np.prod([p**x for p, x in zip(each, w, strict=True)], axis=0)
        of_label = pooled[rows, labels] / pooled.sum(axis=1)
        return -np.log(of_label).sum() + sum((x - 1) ** 2 for x in w) / 2

    steps = np.arange(0, 2.5, 0.1)
    best = min(itertools.product(steps, repeat=3), key=lambda w: loss(*w))
    assert loss(*weights) <= loss(*best)
    assert weights == pytest.approx(best, abs=0.1)
    assert weights[0] > 0.5 > weights[2] >= 0
    for n in range(3):  # a minimum to four digits, each side of every weight
        for step in (-1e-3, 1e-3):
            moved = np.array(weights)
            moved[n] = max(0, moved[n] + step)
            assert loss(*weights) <= loss(*moved) + 1e-7


def test_weights_make_up_for_streams_that_are_too_unsure_or_too_sure() -> None:
    def scaled(split: str, *factors: float) -> list[Stream]:
        skills = (2.0, 1.6)
        members = [predictions(n, skill=s, split=split) for n, s in enumerate(skills)]
        pairs = zip(members, factors, strict=True)
        return streams(*(replace(m, scores=m.scores * np.float32(f)) for m, f in pairs))

    as_they_are = fit_weights(scaled("validation", 1, 1))
    other = fit_weights(scaled("validation", 0.5, 2))
    assert other * [0.5, 2] == pytest.approx(as_they_are, rel=0.2)  # but for the pull to 1
    fused = [
        fuse(scaled("test", *f), "weights", scaled("validation", *f)).predictions.correct.mean()
        for f in ((1, 1), (0.5, 2))
    ]
    assert fused[1] == pytest.approx(fused[0], abs=0.02)


def test_weights_come_from_the_fitting_streams_alone() -> None:
    members = streams(predictions(0, skill=0.1), predictions(1, skill=2))
    fitting = streams(
        predictions(0, skill=2, split="validation"), predictions(1, skill=0.1, split="validation")
    )
    fusion = fuse(members, "weights", fitting)
    assert fusion.weights[0] > 4 * fusion.weights[1]
    assert fusion.weights == pytest.approx(fit_weights(fitting))
    first, second = (probabilities(m.predictions.scores) for m in members)
    expected = first ** fusion.weights[0] * second ** fusion.weights[1]
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fusion.predictions.probabilities, expected, atol=1e-6)
    without = [c.without for c in contributions(members, fusion, "weights", fitting)]
    assert without == [m.predictions.correct.mean() for m in reversed(members)]


def test_what_a_stream_adds_is_the_fusion_without_it() -> None:
    members = streams(predictions(0, skill=2.5), predictions(1, skill=2.5), predictions(2, skill=0))
    fusion = fuse(members, "mean")
    found = contributions(members, fusion, "mean")
    correct = fusion.predictions.correct.mean()
    for left_out, c in enumerate(found):
        rest = [m for n, m in enumerate(members) if n != left_out]
        assert c.without == pytest.approx(fuse(rest, "mean").predictions.correct.mean())
        assert c.added.difference == pytest.approx(correct - c.without)
        assert c.alone == members[left_out].predictions.correct.mean()
    assert found[0].added.low > 0  # without a good one it is worse
    assert found[2].added.difference <= 0.02  # the guessing one adds nothing


# --- what is refused -----------------------------------------------------------------------------


def test_samples_are_matched_by_key() -> None:
    a, b = predictions(0), predictions(1)
    mixed = b.take(list(generator("mix").permutation(b.keys)))
    aligned = align(streams(a, mixed))
    assert aligned[1].predictions.keys == a.keys
    assert np.array_equal(aligned[1].predictions.scores, b.scores)


def refusal(*members: SplitPredictions, common: bool = False) -> str:
    with pytest.raises(Gesture3dError) as caught:
        align(streams(*members), common=common)
    return str(caught.value)


def test_files_that_do_not_belong_together_are_refused() -> None:
    a, b = predictions(0), predictions(1)
    assert "two files" in refusal(a)
    with pytest.raises(Gesture3dError, match=r"a\.csv: given twice"):
        align([Stream("a.csv", a)] * 2)
    message = refusal(a, replace(b, split="train"))
    assert "b.csv: predictions of the train split, a.csv is of the test" in message
    swapped = (NAMES[1], NAMES[0], *NAMES[2:])
    assert "class 1 is 'NULL', there 'wave'" in refusal(a, replace(b, class_names=swapped))
    fewer = replace(b, class_names=NAMES[:3], scores=b.scores[:, :3])
    assert "b.csv: 3 classes, a.csv has 4" in refusal(a, fewer)
    other = b.labels.copy()
    other[[3, 5]] = (other[[3, 5]] + 1) % 4
    message = refusal(a, replace(b, labels=other))
    assert "2 samples (test/0003, test/0005) with another label than in a.csv" in message


def test_missing_and_foreign_samples_are_named_or_left_out() -> None:
    a, b = predictions(0), predictions(1)
    fewer = a.take(a.keys[2:])
    told = []
    message = refusal(fewer, b.take(b.keys[:-5]))
    assert "b.csv: 5 samples (test/0195, test/0196, test/0197, …) missing" in message
    assert "2 samples (test/0000, test/0001) foreign, which a.csv has not" in message
    assert "--common" in message
    aligned = align(streams(fewer, b), common=True, say=told.append)
    assert [len(s.predictions.keys) for s in aligned] == [198, 198]
    assert told == ["b.csv: 2 samples left out, which not every file has"]
    assert "no sample is in all" in refusal(a.take(a.keys[:9]), b.take(b.keys[9:]), common=True)


def test_weights_are_fitted_on_validation_alone() -> None:
    test = streams(predictions(0), predictions(1, data="depth"))

    def message(*fitting: SplitPredictions) -> str:
        with pytest.raises(Gesture3dError) as caught:
            check_fitting(test, streams(*fitting))
        return str(caught.value)

    good = predictions(0, split="validation"), predictions(1, split="validation", data="depth")
    check_fitting(test, streams(*good))
    assert "1 files for 2 streams" in message(good[0])
    assert "a.csv: predictions of the test split" in message(predictions(0), good[1])
    assert "of the train split" in message(replace(good[0], split="train"), good[1])
    assert "in the same order" in message(good[1], good[0])
    disguised = replace(predictions(0), split="validation")
    assert "200 samples (test/0000" in message(disguised, good[1])


# --- the command line ----------------------------------------------------------------------------


def test_the_command_line_fuses_and_reports(tmp_path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        write_predictions(tmp_path / f"{name}.csv", predictions(seed, data=name))
        validation = predictions(seed, split="validation", data=name)
        write_predictions(tmp_path / f"v{name}.csv", validation)
    command = [sys.executable, TOOL, "a.csv", "b.csv"]
    command += ["--weights-from", "va.csv", "vb.csv", "--out", "f.csv"]
    done = run_forked(command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    fused = read_predictions(tmp_path / "f.csv")
    assert f"{fused.correct.mean():.1%}" in done.stdout.splitlines()[-2]
    assert (fused.data, fused.split) == ("a+b", "test")
