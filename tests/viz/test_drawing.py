"""Names in pictures: literal, in a font that has their letters or by number; sizes in bounds."""

import struct
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.text import Text

from gesture3d.events import Event
from gesture3d.viz import drawing
from gesture3d.viz.drawing import drawable, finished, new_figure
from gesture3d.viz.explain import Explanation
from gesture3d.viz.heat_maps import plot_gates, plot_strip, write_animation
from gesture3d.viz.plots import central_crop, plot_confusion, plot_predictions
from gesture3d.viz.timeline import extremes, plot_events, plot_timelines

# Two "$" are a formula, here a broken one; "_" first is left out of legends; no font has U+10FFFD.
NAMES = [
    *("$\\alpha$ wave", "$\\frac$", "a|b\nc", "挥手", "لوح", "👋", "x" * 300, "_first", "\udce9"),
    "\U0010fffd",
]


@pytest.fixture(autouse=True)
def no_missing_glyphs():
    """A box in place of a letter is a warning of matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def texts(figure) -> list[str]:
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def explanation(num_steps: int) -> Explanation:
    maps = np.random.default_rng(0).random((num_steps, 2, 3, 3)).astype(np.float32)
    return Explanation(
        scores=np.zeros(2),
        label=0,
        strides=(2, 4, 4),
        clip_shape=(2 * num_steps, 12, 12),
        maps={"Res3D": maps},
        gradients={"Res3D": maps},
        gates={"ConvLSTM 1": {"input": np.linspace(0, 1, num_steps)}},
        attention={},
        saliency=np.ones((2 * num_steps, 12, 12), np.float32),
    )


def test_every_picture_shows_names_as_they_are(tmp_path) -> None:
    title = "".join(NAMES)
    clip = np.zeros((4, 3, 12, 12), np.uint8)
    stretches = [(float(n), n + 1.0, name, 0.5) for n, name in enumerate(NAMES)]
    ranked = [[(name, 0.5) for name in NAMES[:3]], [(name, 0.5) for name in NAMES[3:]]]
    clips = [np.zeros((3, 9, 9, 3), np.uint8)] * 2
    write_animation(tmp_path / "a.gif", explanation(2), clip, title)
    for figure in (
        plot_confusion(np.eye(len(NAMES), dtype=int), NAMES),
        plot_predictions(clips, NAMES[:2], ranked),
        plot_timelines(["$a$"], [np.zeros((99, 3))], [9.0], [stretches]),
        plot_strip(explanation(2), clip, title),
        plot_gates(explanation(2), title),
    ):
        shown = texts(figure)
        figure.savefig(tmp_path / "picture.png", dpi=40)
        if figure.get_suptitle():
            assert figure.get_suptitle().startswith("$\\alpha$ wave$\\frac$a|b\\nc")
        else:
            ends = [text.removesuffix(" 50%") for text in shown]
            wanted = {"$\\alpha$ wave", "$\\frac$", "a|b\\nc", "_first", "\\udce9", "\\U0010fffd"}
            assert wanted <= set(ends)
        assert any("letter by its number" in text.replace("\n", " ") for text in shown)


def test_a_timeline_names_only_what_it_shows() -> None:
    shown = "truth above, found below", "a line where it was decided"
    one, decided = Event("wave", 0.5, 1.0), Event("wave", 0.5, 1.0, 0.8)
    for truth, found, said, legends in (
        ([one], [decided], shown, 1),
        (None, [decided], shown[1:], 1),
        ([one], [], shown[:1], 1),
        (None, [], (), 0),
    ):
        figure = plot_events(["clip.mp4"], [2.0], [truth], [found])
        assert figure.axes[0].get_xlabel() == "; ".join(["seconds", *said])
        assert len(figure.legends) == legends


def test_equal_looks_do_not_merge_bars() -> None:
    names = ["x" * 100 + "a" + "x" * 100, "x" * 100 + "b" + "x" * 100]
    figure = plot_predictions(
        [np.zeros((1, 9, 9, 3), np.uint8)], ["t"], [[(n, 0.5) for n in names]]
    )
    assert len(figure.axes[1].patches) == 2


def test_letters_come_from_a_font_that_has_them(monkeypatch) -> None:
    """Here from one that is not the first: it must be in use for exactly these letters."""
    paths = [font.fname for font in font_manager.fontManager.ttflist if font.name == "STIXGeneral"]
    letter = next(
        chr(n)
        for n in range(0x2000, 0x10000)
        if drawing._open_font(paths[0]).get_char_index(n)
        and not drawing._has(font_manager.findfont("DejaVu Sans"), chr(n))
        and chr(n).isprintable()
    )
    without_letters = font_manager.findfont("STIXSizeOneSym")  # it is opened without a warning
    assert drawing._open_font(without_letters) is not None
    figure = new_figure(3, 3)
    figure.text(0, 0, drawable(f"a{letter}"))
    finished(figure).canvas.draw()
    (text,) = figure.findobj(Text)
    assert text.get_text() == f"a{letter}"
    assert len(text.get_fontfamily()) == 2
    assert drawable("a\U0010fffd b") == "a\\U0010fffd b"
    drawing._font_of.cache_clear()
    monkeypatch.setattr(matplotlib, "__version_info__", (3, 10, 0))
    assert drawable("لوح") == "\\u0644\\u0648\\u062d"  # which 3.10 draws in pieces, backwards
    drawing._font_of.cache_clear()


def png_size(path) -> tuple[int, int]:
    return struct.unpack(">II", path.read_bytes()[16:24])


@pytest.mark.parametrize(
    "figure",
    [
        lambda: plot_confusion(np.eye(300, dtype=int), [f"class {n}" for n in range(300)]),
        lambda: plot_strip(explanation(300), np.zeros((600, 3, 12, 12), np.uint8), "many steps"),
        lambda: plot_predictions([np.zeros((1, 1, 60_000, 3), np.uint8)], ["wide"], [[("a", 1.0)]]),
        lambda: plot_timelines(
            ["long"],
            [np.random.default_rng(0).normal(size=(500_000, 3))],
            [50.0],
            [[(float(n), n + 1.0, f"name {n}", 0.5) for n in range(300)]],
        ),
    ],
    ids=["300 classes", "300 steps", "1 x 60,000 pixels", "300 activities"],
)
def test_no_picture_is_huge(tmp_path, figure) -> None:
    figure().savefig(tmp_path / "picture.png", dpi=20)
    assert max(png_size(tmp_path / "picture.png")) <= 20 * drawing.LARGEST_SIDE


def test_long_frames_are_cropped_and_long_signals_keep_their_extremes() -> None:
    frames = np.arange(5 * 60_001, dtype=np.uint32).reshape(1, 5, 60_001, 1)
    assert np.array_equal(central_crop(frames), frames[:, :, 29_990:30_010])
    assert central_crop(frames[:, :, :20]).shape == (1, 5, 20, 1)
    signal = np.random.default_rng(0).normal(size=(100_000, 2))
    signal[77_777, 1] = 50
    samples, values = extremes(signal, 1000)
    assert len(samples) == len(values) <= 1002
    assert values.max() == 50
    assert abs(samples[values[:, 1].argmax()] - 77_777) <= 200
    assert extremes(signal[:300], 1000)[1].shape == (300, 2)


def test_every_class_of_a_timeline_has_its_colour():
    events = [Event(f"gesture {n}", n, n + 0.5, n + 0.2) for n in range(60)]
    figure = plot_events(["stream"], [60.0], [None], [events])
    patches = figure.legends[0].get_patches()
    assert len({patch.get_facecolor() for patch in patches}) == 60
