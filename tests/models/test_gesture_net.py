"""The video network as a whole: shapes, sizes, preprocessing, independence of samples."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gesture3d.benchmarks.timing import kept_bytes
from gesture3d.models import MODELS, build_model
from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.mobilenet import MobileNetTop
from gesture3d.models.res3d import Res3D, convolution, scaled_channels


def make_net(seed=0, **options):
    torch.manual_seed(seed)
    return GestureNet(**{"num_classes": 5, "width": 1 / 8, **options})


def make_clips(batch=2, frames=8, channels=3, height=32, width=32):
    generator = torch.Generator().manual_seed(3)
    shape = (batch, frames, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def scores_of(net, clips):
    net.eval()
    with torch.no_grad():
        return net(clips)


# ------------------------------------------------------------------------------- shapes and sizes


def test_full_size_network_is_the_papers():
    net = make_net(num_classes=27, width=1.0).eval()
    shapes = {}
    for name in ("res3d.stem", "res3d.stage1", "res3d.stage2", "res3d.stage3", "mobilenet"):
        hook = lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape)})  # noqa: E731
        net.get_submodule(name).register_forward_hook(hook)
    for number, layer in enumerate(net.recurrent):
        hook = lambda _m, _i, out, n=number: shapes.update({n: tuple(out[0].shape)})  # noqa: E731
        layer.register_forward_hook(hook)
    scores = scores_of(net, make_clips(1, 16, 3, 112, 112))
    assert scores.shape == (1, 27)
    assert shapes == {
        "res3d.stem": (1, 64, 16, 56, 56),
        "res3d.stage1": (1, 64, 16, 56, 56),
        "res3d.stage2": (1, 128, 8, 28, 28),
        "res3d.stage3": (1, 256, 8, 28, 28),
        0: (1, 8, 256, 28, 28),
        1: (1, 8, 256, 28, 28),
        "mobilenet": (8, 1024, 4, 4),
    }
    parameters = sum(p.numel() for p in net.parameters())
    assert parameters == pytest.approx(12.29e6, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((1, 2, 3, 4, 4), {}),  # the smallest
        ((2, 5, 3, 17, 30), {}),
        ((1, 16, 3, 48, 40), {"stem_stride": (2, 3, 3), "width": 0.25}),
        ((2, 4, 1, 16, 16), {"in_channels": 1, "channel_means": (127.0,)}),
        ((1, 9, 2, 20, 20), {"in_channels": 2, "preprocessing": "clip_mean", "kernel_size": 5}),
        ((1, 6, 3, 16, 16), {"variants": ("convlstm",), "num_classes": 1}),
        ((1, 6, 3, 16, 16), {"variants": ("b", "c", "d"), "dropout": 0.5}),
    ],
)
def test_any_clip_that_the_strides_allow(size, options):
    net = make_net(**options)
    scores = scores_of(net, make_clips(*size))
    assert scores.shape == (size[0], options.get("num_classes", 5))
    assert scores.isfinite().all()


def test_front_end_size_is_predicted():
    for stem_stride in [(1, 2, 2), (2, 3, 3)]:
        res3d = Res3D(3, 1 / 8, stem_stride)
        for size in [(16, 48, 40), (9, 31, 50), (4, 12, 13)]:
            assert res3d(torch.zeros(1, 3, *size)).shape[2:] == res3d.output_size(*size)


def test_top_layers_work_down_to_one_pixel():
    top = MobileNetTop(16, width=1 / 8).eval()
    for size, expected in [(1, 1), (2, 1), (8, 1), (9, 2), (28, 4)]:
        assert top(torch.zeros(3, 16, size, size)).shape == (3, 128, expected, expected)


def test_width_scales_channels_in_multiples_of_8():
    assert [scaled_channels(c, 1.0) for c in (64, 256, 1024)] == [64, 256, 1024]
    assert [scaled_channels(c, 0.25) for c in (64, 256, 1024)] == [16, 64, 256]
    assert [scaled_channels(c, 0.01) for c in (64, 1024)] == [8, 8]
    assert scaled_channels(64, 0.3) == 16
    sizes = [sum(p.numel() for p in make_net(width=w).parameters()) for w in (1 / 8, 1 / 4, 1 / 2)]
    assert sizes[0] < sizes[1] / 2.5 < sizes[2] / 6.25


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((1, 1, 3, 32, 32), "clips of 1 frames.*at least 2 frames of 4 × 4"),
        ((1, 8, 3, 3, 32), "3 × 32 pixels.*at least 2 frames of 4 × 4"),
        ((1, 8, 1, 32, 32), "1 channels, the network takes 3"),
    ],
)
def test_clips_that_do_not_fit_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        make_net()(make_clips(*size))


@pytest.mark.parametrize(
    "options", [{"preprocessing": "none"}, {"channel_means": (1.0, 2.0)}, {"variants": ("a", "x")}]
)
def test_impossible_arguments_are_refused(options):
    with pytest.raises(ValueError, match=r"none|2$|x"):
        make_net(**options)


# ----------------------------------------------------------------------------------- preprocessing


@pytest.mark.parametrize("preprocessing", ["channel_mean", "clip_mean"])
def test_bytes_and_floats_give_the_same_scores(preprocessing):
    net, clips = make_net(preprocessing=preprocessing), make_clips()
    assert torch.equal(scores_of(net, clips), scores_of(net, clips.float()))


def test_channel_means_are_subtracted_from_pixels():
    net = make_net(channel_means=(10.0, 20.0, 30.0), pixel_scale=2.0)
    x = net.preprocessing(make_clips(), torch.float32)
    expected = (make_clips().double() - torch.tensor([10.0, 20, 30]).view(3, 1, 1)) / 2
    torch.testing.assert_close(x.double().transpose(1, 2), expected)


def test_clip_mean_removes_each_pixels_mean_over_the_clip():
    x = make_net(preprocessing="clip_mean", pixel_scale=64.0).preprocessing(
        make_clips(), torch.float32
    )
    expected = make_clips().double()
    expected = (expected - expected.mean(1, keepdim=True)) / 64
    torch.testing.assert_close(x.double().transpose(1, 2), expected, rtol=1e-5, atol=1e-5)


def test_only_clip_mean_ignores_a_static_background():
    clips = make_clips() // 2
    background = make_clips(2, 1) // 2  # another image, added to every frame
    for preprocessing, ignores in [("clip_mean", True), ("channel_mean", False)]:
        net = make_net(preprocessing=preprocessing)
        same = torch.allclose(scores_of(net, clips), scores_of(net, clips + background), atol=1e-4)
        assert same == ignores


def local_mean_by_hand(image):
    """(H, W), H and W multiples of 6 → means of 6 × 6 cells, of 3 × 3 of them, interpolated."""
    height, width = image.shape
    cells = image.reshape(6, height // 6, 6, width // 6).mean((1, 3))
    smooth = np.empty((6, 6))
    for i, j in np.ndindex(6, 6):
        smooth[i, j] = cells[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean()
    rows = np.clip((np.arange(height) + 0.5) * 6 / height - 0.5, 0, 5)
    columns = np.clip((np.arange(width) + 0.5) * 6 / width - 0.5, 0, 5)
    across = np.stack([np.interp(columns, np.arange(6), row) for row in smooth])
    return np.stack([np.interp(rows, np.arange(6), column) for column in across.T], axis=1)


def test_local_mean_and_contrast_are_taken_away():
    clips = make_clips(1, 3, 2, 24, 30)
    clips[0, 1] = 77  # flat
    net = make_net(in_channels=2, local_contrast=True, channel_means=(0.0,))
    found = net.preprocessing(clips, torch.float64)[0].numpy()
    for frame, channel in np.ndindex(3, 2):
        x = clips[0, frame, channel].numpy().astype(np.float64)
        x = x - local_mean_by_hand(x)
        expected = 64 * x / (np.sqrt(local_mean_by_hand(x**2)) + 8)
        np.testing.assert_allclose(found[channel, frame], expected, atol=1e-9)


def test_only_local_contrast_ignores_light_that_drifts():
    """Up to what keeps flat places from being stretched: hence the large contrast here."""
    clips = 100.0 * make_clips().float()
    drift = (
        torch.linspace(0.3, 3, 8)[:, None, None, None],
        4000 * torch.arange(8)[:, None, None, None],
    )
    for local in (True, False):
        net = make_net(preprocessing="clip_mean", local_contrast=local)
        plain, drifting = (
            net.preprocessing(x, torch.float64) for x in (clips, clips * drift[0] + drift[1])
        )
        change = (plain - drifting).norm() / plain.norm()
        assert (change < 0.01) == local


# ---------------------------------------------------------------------------------- behaviour


def test_without_recurrent_layers_features_go_to_the_top():
    net, clips = make_net(variants=()), make_clips()
    net.train()
    assert not list(net.recurrent.parameters())
    net(clips).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.eval()
    x = net.res3d(net.preprocessing(clips, torch.float32)).transpose(1, 2)
    torch.testing.assert_close(net(clips), net.top_layers(x))


@pytest.mark.parametrize("preprocessing", ["channel_mean", "clip_mean"])
def test_scores_do_not_depend_on_the_rest_of_the_batch(preprocessing):
    net, clips = make_net(preprocessing=preprocessing), make_clips(4)
    together = scores_of(net, clips)
    alone = torch.cat([scores_of(net, clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_order_of_frames_matters():
    net, clips = make_net(preprocessing="clip_mean"), make_clips()
    assert not torch.allclose(scores_of(net, clips), scores_of(net, clips.flip(1)), atol=1e-3)


def test_lengths_of_equally_long_clips_change_nothing():
    net, clips = make_net().eval(), make_clips()
    assert torch.equal(net(clips, torch.tensor([8, 8])), net(clips))


@pytest.mark.parametrize("variants", [("a", "a"), ("b", "a"), ("c", "d"), ("convlstm", "a")])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("low_precision", [False, True])
def test_every_parameter_learns(variants, skip, low_precision):
    net = make_net(variants=variants, recurrent_skip=skip, top_skip=skip)
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        scores = net(make_clips())
    assert scores.dtype == torch.float32
    torch.nn.functional.cross_entropy(scores, torch.tensor([0, 3])).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("low_precision", [False, True])
def test_gradient_checkpointing_changes_memory_only(low_precision):
    clips, found = make_clips(height=48, width=48), []
    for checkpointing in (False, True):
        net = make_net().train()
        net.gradient_checkpointing = checkpointing
        with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            memory = kept_bytes(net, clips)
            scores = net(clips)
        scores.square().sum().backward()
        gradients = {name: p.grad for name, p in net.named_parameters()}
        found.append((memory, gradients, net.state_dict()))
    (plain, gradients, state), (recomputed, same_gradients, same_state) = found
    assert recomputed < 0.8 * plain
    for name, gradient in gradients.items():
        assert torch.equal(same_gradients[name], gradient), name
    for name, value in state.items():  # running statistics and their counts among them
        assert torch.equal(same_state[name], value), name


def test_low_precision_features_are_close():
    """Up to the top layers: untrained, those amplify any small difference."""
    net, clips = make_net(preprocessing="clip_mean"), make_clips(4, 16)
    features = []
    net.recurrent[-1].register_forward_hook(lambda _m, _i, out: features.append(out[0].float()))
    with torch.no_grad():
        net(clips)
        with torch.autocast("cpu", torch.bfloat16):
            net(clips)
    expected, found = features
    assert 0 < (found - expected).norm() < 0.06 * expected.norm()


@pytest.mark.parametrize(
    "make",
    [lambda: convolution(8, 8, (3, 3, 3), (1, 1, 1)), lambda: Res3D(8, 1 / 8).stem[0]],
)
@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_low_precision_kernel_gradients_are_right_for_few_frames(frames, make):
    """On two frames a bf16 gradient of oneDNN's holds whatever lay in freed memory: here NaN."""
    torch.manual_seed(0)
    for _ in range(4):
        conv = make()
        x = torch.randn(4, 8, frames, 8, 8).to(memory_format=torch.channels_last_3d)
        conv(x).square().sum().backward()
        exact, conv.weight.grad = conv.weight.grad, None
        for size in (100, 1000, 10_000, 100_000) * 6:
            _ = torch.full((size,), torch.nan)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = conv(x)
        y.float().square().sum().backward()
        torch.testing.assert_close(
            conv.weight.grad, exact, rtol=0.05, atol=0.02 * exact.abs().max()
        )


@pytest.mark.parametrize("variant", ["convlstm", "a", "b", "c", "d"])
def test_a_whole_network_in_low_precision(variant):
    net, clips = GestureNet(5, (variant, "a"), width=1 / 8).eval(), make_clips()
    with torch.no_grad():
        expected = net(clips)
        found = net.bfloat16()(clips)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.05 * expected.abs().max().item())


def test_state_dict_round_trip():
    first, second, clips = make_net(0), make_net(1), make_clips()
    first.train()(clips)  # move the running statistics
    assert not torch.allclose(scores_of(first, clips), scores_of(second, clips))
    second.load_state_dict(first.state_dict())
    assert torch.equal(scores_of(first, clips), scores_of(second, clips))


def test_export_keeps_preprocessing_and_scores():
    net, clips = make_net(preprocessing="clip_mean").eval(), make_clips()
    exported = torch.export.export(net, (clips,)).module()
    torch.testing.assert_close(exported(clips), scores_of(net, clips))


@pytest.mark.slow
def test_networks_compile_without_graph_breaks():
    """In a process of its own: the run-time checks of shape annotations do not compile."""
    program = """if True:
        import warnings
        import torch
        from gesture3d.models import conv3d, mobilenet
        from gesture3d.models.gesture_net import GestureNet

        def make_net(*variants, **settings):
            net = GestureNet(5, variants, width=1 / 32, **settings)
            net.res3d.stage2 = net.res3d.stage2[:1]  # the others are the same once more
            net.res3d.stage1 = net.res3d.stage3 = net.res3d.stage2[1:]
            return net

        mobilenet.BLOCKS = mobilenet.BLOCKS[:2]
        clips = torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8)
        net = make_net("convlstm", "a", "b", "c", "d").double()
        scores = torch.compile(net, backend="eager", fullgraph=True)(clips)
        torch.testing.assert_close(scores, net(clips))
        scores.sum().backward()

        warnings.simplefilter("error")
        settings = {"preprocessing": "clip_mean", "local_contrast": True, "stabilise": True}
        net = make_net(**settings).eval()
        with torch.no_grad():
            scores = torch.compile(net, backend="eager", fullgraph=True)(clips[:1])
            torch.testing.assert_close(scores, net(clips[:1]))

        conv3d.AMX = True
        conv = conv3d.SafeConv3d(3, 4, 3, 2, 1, bias=False).bfloat16()
        x = torch.randn(1, 3, 4, 6, 6).bfloat16()
        y = torch.compile(conv, backend="eager", fullgraph=True)(x)
        torch.testing.assert_close(y, conv(x))
        y.sum().backward()
    """
    subprocess.run([sys.executable, "-c", program], check=True)


class Config:
    """Has what build_model needs of a configuration."""

    name = "gesture_net"

    def __init__(self, **fields):
        self.fields = fields

    def model_dump(self, exclude):
        return {k: v for k, v in {"name": self.name, **self.fields}.items() if k not in exclude}


def test_build_model_maps_a_configuration_to_its_network():
    net = build_model(Config(width=1 / 8, variants=["c", "a"], stem_stride=[2, 3, 3]), 7)
    assert type(net) is MODELS["gesture_net"]
    assert [layer.variant for layer in net.recurrent] == ["c", "a"]
    assert scores_of(net, make_clips()).shape == (2, 7)
