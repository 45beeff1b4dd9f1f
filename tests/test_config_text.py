"""What people type and what strangers' files say: text stays text, and only one line comes out."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gesture3d.config import load_data, load_experiment, read_settings, validate_experiment
from gesture3d.errors import Gesture3dError
from gesture3d.yaml_text import MAX_CHARACTERS


@pytest.mark.parametrize(
    "text",
    ["take #2", "2024-05-01", "010", "yes", "a: b", "[x]y", "*a", "&a", "!x", "1e3", "{x}", "@h"],
)
def test_a_path_stays_as_it_was_typed(text: str) -> None:
    assert load_data("jester", [f"data.root={text}"]).root == Path(text)
    assert load_data("jester", [f"data.root='{text}'"]).root == Path(text)


def test_names_of_classes_stay_text_in_overrides_and_in_files(tmp_path) -> None:
    names = ("yes", "no", "010", "2024-05-01", "1e3", "null", "~", "3", "on", "a b")
    listed = f"[{', '.join(names)}]"
    assert load_data("jester", [f"data.classes={listed}"]).classes == names
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"data: {{name: jester, root: 2024-05-01, classes: {listed}}}\n")
    assert load_data(str(recipe)).classes == names
    assert load_data(str(recipe)).root == Path("2024-05-01")
    assert load_data("jester", ["data.classes=null"]).classes is None


def test_home_is_expanded_for_paths_wherever_they_stand(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("data:\n  name: folder\n  root: ~/clips\n  csv: ~/list.csv\n")
    data = load_data(str(recipe), ["data.exclude_list=~/bad.txt"])
    assert data.root == tmp_path / "clips"
    assert (data.csv, data.exclude_list) == (tmp_path / "list.csv", tmp_path / "bad.txt")
    assert load_data("folder", ["data.csv=~"]).csv is None  # YAML's null
    assert load_data("folder", ["data.classes=[~/x]"]).classes == ("~/x",)


def test_a_path_of_any_bytes_survives_writing_and_reading() -> None:
    experiment = load_experiment("variant_a", "jester", ["data.root=a\udcff"])
    tree = experiment.model_dump(mode="json")
    assert tree["data"]["root"] == "a\udcff"
    assert validate_experiment(tree, "").data.root == Path("a\udcff")


def test_numbers_are_decimal_and_in_range() -> None:
    def train(text: str):
        return load_experiment("variant_a", "jester", [f"train.{text}"]).train

    assert train("epochs=010").epochs == 10  # YAML 1.1 would say 8
    assert train("seed=0xBEEF").seed == 0xBEEF
    assert train("seed=9223372036854775807").seed == 2**63 - 1
    assert train("checkpoint_minutes=1e-3").checkpoint_minutes == 1e-3
    assert train("compile=yes").compile is True


@pytest.mark.parametrize(
    "setting",
    [
        *("train.epochs=1:30", "train.epochs=1e9", "train.epochs=-5", "train.seed=1e19"),
        *("train.seed=9223372036854775808", "train.processes=1e9", "train.num_threads=1e9"),
        *("train.batch_size=1e9", "train.eval_batch_size=1e9", "train.accumulate=1e9"),
        *("data.num_frames=1e9", "data.size=1e9", "data.num_workers=1e9", "data.cache_size=1e9"),
        *("data.few_shot=1e12", "data.frame_stride=1e9", "data.subset_seed=1e19"),
        *("model.stem_stride=[1,1,1000000000]", "model.forget_bias=1e30", "model.width=1e9"),
        *("optim.lr=1e39", "optim.weight_decay=1e300", "model.channel_means=[1e300,1,1]"),
        *("model.channel_means=[true,1,1]", "train.epochs=" + "9" * 5000),
        *("data.size=2024-13-45", "data.size=!!int 5", "data.classes=" + "[" * 2000),
        r'train.seed="\UFFFFFFFF"',
    ],
)
def test_what_no_machine_can_do_is_refused_in_a_short_line(setting: str) -> None:
    with pytest.raises(Gesture3dError) as caught:
        load_experiment("variant_a", "jester", [setting])
    assert setting.partition("=")[0].rpartition(".")[2] in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("model", "data", "setting"),
    [
        ("gru", "utd_mhad_skeleton", "model.num_layers=1e9"),
        ("gru", "utd_mhad_skeleton", "model.hidden_size=1e9"),
        ("gru", "utd_mhad_skeleton", "data.augmentation.speed=[1e-9,1]"),
        ("deepgru_small", "utd_mhad_skeleton", "model.dims.gru1=1e9"),
        ("cnn1d", "hapt", "model.widths=[1000000000]"),
        ("cnn1d", "hapt", "data.rate_hz=1e300"),
        ("cnn1d", "hapt", "data.window=1e9"),
        ("variant_a", "synthetic", "data.clips_per_class.train=1e9"),
        ("variant_a", "synthetic", "data.seed=1e19"),
    ],
)
def test_so_it_is_for_every_stream(model: str, data: str, setting: str) -> None:
    with pytest.raises(Gesture3dError, match="--set"):
        load_experiment(model, data, [setting])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(15)), "anchors"),
        ("a: &a [*a]", "anchors"),
        ("a: !!int abc", "tags"),
        ("a: !!python/object/apply:os.system [ls]", "tags"),
        ("a: " + "[" * 2000, "deep"),
        ("{a: " * 2000, "deep"),
        ("- " * 50_000, "deep"),
        ("? [a]\n: b", "key must be text"),
        ("a: 1\na: 2", "there twice"),
        ("a: '" + "x" * MAX_CHARACTERS + "'", "characters"),
    ],
)
def test_hostile_yaml_ends_at_once_in_one_line(tmp_path, text: str, why: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    before = time.process_time()
    for read in (lambda: load_experiment(str(path)), lambda: load_data(str(path))):
        with pytest.raises(Gesture3dError, match=rf"x\.yaml: .*{why}") as caught:
            read()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000
    assert time.process_time() - before < 5


def test_a_model_is_no_data_set_and_the_reverse(tmp_path) -> None:
    with pytest.raises(Gesture3dError, match="variant_a is a model: give it to --cfg"):
        load_data("variant_a")
    with pytest.raises(Gesture3dError, match=r"jester\.yaml is a data set: give it to --data"):
        load_experiment("jester.yaml")
    model, recipe = tmp_path / "m.yaml", tmp_path / "d.yaml"
    model.write_text("variants: [a, b]\n")
    recipe.write_text("data: {name: jester}\n")
    with pytest.raises(Gesture3dError, match=r"m\.yaml is a model: give it to --cfg"):
        load_experiment(str(model), str(model))
    with pytest.raises(Gesture3dError, match=r"d\.yaml is a data set .*give it to --data"):
        load_experiment(str(recipe))


# --- anything at all ------------------------------------------------------------------------------

KEYS = ["data.root", "data.classes", "data.augmentation", "data.augmentation.gain", "data.name"]
KEYS += ["data", "train", "train.seed", "optim.lr", "model.variants", "model.name", "model", "x"]
WORDS = ["yes", "~", "null", "[", "]", "{", "}", ": ", "- ", "&a ", "*a", "!!int ", "2024-13-45"]
WORDS += ["#", "'", '"', "1e400", "-1", ".nan", "\n", "<<: ", "=", "%", "a", "0x", "\\ud800", ","]
TEXT = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
seeded = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def result_or_line(call, *arguments) -> tuple:
    """What comes back, and what is said; any other exception ends the test."""
    try:
        return call(*arguments), ""
    except Gesture3dError as error:
        return None, str(error)


@seeded
@given(st.sampled_from(KEYS), TEXT)
def test_any_override_is_a_setting_or_one_line(key: str, value: str) -> None:
    found, said = result_or_line(load_experiment, "variant_a", "jester", [f"{key}={value}"])
    assert len(said) < 2000
    if found:
        assert validate_experiment(found.model_dump(mode="json"), "") == found


@seeded
@given(TEXT)
def test_any_text_is_settings_or_one_line(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text(text, errors="surrogateescape")
    _, said = result_or_line(read_settings, path)
    assert "\n" not in said


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def stored() -> dict:
    return load_experiment("variant_a", "folder").model_dump(mode="json")


@seeded
@given(st.sampled_from(["data", "optim", "train", "model"]), st.data())
def test_any_stored_experiment_is_one_or_one_line(stored, section: str, data) -> None:
    tree = stored | {section: dict(stored[section])}
    key = data.draw(st.sampled_from([None, *tree[section]]))
    if key is None:
        tree[section] = data.draw(JSON)
    else:
        tree[section][key] = data.draw(JSON)
    _, said = result_or_line(validate_experiment, tree, "w.safetensors")
    assert len(said) < 2000
