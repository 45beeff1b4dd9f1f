"""Causal networks: stepping through a stream is the whole clip, and nothing knows the future."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gesture3d.errors import Gesture3dError
from gesture3d.models.gesture_net import GestureNet, Preprocessing
from gesture3d.models.r3d_18 import R3D18
from gesture3d.models.res3d import ResidualBlock

SIZE = (16, 20)
PAPER = {"stem_stride": (1, 2, 2)}
LAPTOP = {
    "stem_stride": (2, 3, 3),
    "local_contrast": True,
    "recurrent_skip": True,
    "top_skip": True,
}
KINDS = {
    "a a": {"variants": ("a", "a")},
    "b c": {"variants": ("b", "c"), "recurrent_skip": True},
    "d convlstm": {"variants": ("d", "convlstm"), "kernel_size": 5},
    "no recurrence": {"variants": (), "differences": False},
    "laptop": LAPTOP,
    "channel mean": {"preprocessing": "channel_mean", "differences": False, **LAPTOP},
    "differences alone": {"preprocessing": "channel_mean", **LAPTOP},
    "long steps": {"stem_stride": (5, 2, 2)},  # of which the stem skips frames
}


def make_net(dtype=torch.float64, seed=0, **options):
    torch.manual_seed(seed)
    options = {"preprocessing": "running_mean", "differences": True, "mean_frames": 5} | options
    net = GestureNet(num_classes=5, width=1 / 16, pixel_scale=64.0, causal=True, **options)
    net.train()(make_stream(4, 2, 2 * net.step_frames))  # moves the running statistics
    return net.eval().to(dtype)


def make_stream(seed, batch, frames, channels=3):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, frames, channels, *SIZE)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def run_in_chunks(net, stream, lengths):
    """Scores (B, S, K) of a stream in chunks of so many steps, and the last state."""
    state, found, first = net.initial_state(len(stream), SIZE), [], 0
    for length in lengths:
        last = first + length * net.step_frames
        scores, state = net.run(stream[:, first:last], state)
        found.append(scores)
        first = last
    return torch.cat(found, 1), state


def chunkings(steps, count, seed=0):
    """Random ones, and one step at a time."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        cuts = np.sort(rng.choice(np.arange(1, steps), rng.integers(1, steps), replace=False))
        yield np.diff([0, *cuts, steps]).tolist()
    yield [1] * steps


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_stream_in_any_chunks_is_the_whole_clip(kind, dtype, tolerance):
    net = make_net(dtype, **KINDS[kind])
    stream = make_stream(1, 2, 6 * net.step_frames)
    whole = net.step_scores(stream)
    assert whole.shape == (2, 6, 5)
    assert whole.std(1).min() > 10 * tolerance
    torch.testing.assert_close(net(stream), whole.mean(1), rtol=0, atol=1e-12)
    for lengths in chunkings(6, count=1):
        found, state = run_in_chunks(net, stream, lengths)
        torch.testing.assert_close(found, whole, rtol=tolerance, atol=tolerance)
    assert [tuple(tensor.shape) for tensor in state] == net.state_shapes(2, SIZE)


@torch.no_grad()
def test_a_step_is_a_chunk_of_one():
    net = make_net(**LAPTOP)
    stream, state = make_stream(1, 1, 3 * net.step_frames), net.initial_state(1, SIZE)
    assert net.step_frames == 4
    for number in range(3):
        chunk = stream[:, 4 * number : 4 * number + 4]
        expected, _ = net.run(chunk, state)
        scores, state = net.step(chunk, state)
        torch.testing.assert_close(scores, expected[:, 0])


@pytest.mark.parametrize("kind", ["a a", "laptop", "long steps"])
@torch.no_grad()
def test_the_future_changes_nothing_before_it_and_the_newest_frame_counts(kind):
    net = make_net(**KINDS[kind])
    n = net.step_frames
    stream = make_stream(1, 1, 8 * n)
    changed = stream.clone()
    changed[:, 4 * n :] = make_stream(2, 1, 4 * n)
    newest = stream.clone()
    newest[:, 4 * n - 1] = make_stream(3, 1, 1)[:, 0]
    before, after, late = (net.step_scores(x) for x in (stream, changed, newest))
    assert torch.equal(after[:, :4], before[:, :4])
    assert (after[:, 4] - before[:, 4]).abs().max() > 1e-6
    assert torch.equal(late[:, :3], before[:, :3])
    assert (late[:, 3] - before[:, 3]).abs().max() > 1e-6


@torch.no_grad()
def test_a_saved_state_goes_on_as_if_nothing_had_happened(tmp_path):
    net, stream = make_net(torch.float32, **LAPTOP), make_stream(1, 2, 24)
    whole, last = run_in_chunks(net, stream, [1] * 6)
    _, state = run_in_chunks(net, stream, [1] * 3)
    save_file({str(n): t.contiguous() for n, t in enumerate(state)}, tmp_path / "state")
    read = load_file(tmp_path / "state")
    state = tuple(read[str(n)] for n in range(len(read)))
    for number in range(3, 6):
        scores, state = net.step(stream[:, 4 * number : 4 * number + 4], state)
        torch.testing.assert_close(scores, whole[:, number], rtol=1e-5, atol=1e-5)
    for found, expected in zip(state, last, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_streams_of_a_batch_are_those_alone_whatever_their_age():
    net = make_net(**LAPTOP)
    old, young = make_stream(1, 1, 24), make_stream(2, 1, 12)
    expected = [run_in_chunks(net, x, [x.shape[1] // 4])[0][:, -3:] for x in (old, young)]
    _, of_old = run_in_chunks(net, old[:, :12], [1, 2])
    of_young = net.initial_state(1, SIZE)
    state = tuple(torch.cat(both) for both in zip(of_old, of_young, strict=True))
    found, _ = net.run(torch.cat([old[:, 12:], young]), state)
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("parts", [12, pytest.param(135, marks=pytest.mark.slow)])  # half an hour
@torch.no_grad()
def test_a_long_stream_neither_grows_nor_drifts(parts):
    net = make_net(torch.float32, **LAPTOP)
    exact = make_net(torch.float64, **LAPTOP)
    state, exact_state = net.initial_state(1, SIZE), exact.initial_state(1, SIZE)
    sizes = [
        tensor.untyped_storage().nbytes() for tensor in net.step(make_stream(0, 1, 4), state)[1]
    ]
    for part in range(parts):
        chunk = make_stream(part, 1, 160)
        scores, state = net.run(chunk, state)
        exact_scores, exact_state = exact.run(chunk, exact_state)
        assert [t.untyped_storage().nbytes() for t in state] == sizes
        torch.testing.assert_close(scores.double(), exact_scores, rtol=1e-4, atol=2e-5)


def test_gradients_flow_through_the_state_and_recomputing_changes_none():
    stream = make_stream(1, 2, 16)
    found = []
    for recompute in (False, True):
        net = make_net(**LAPTOP)
        net.gradient_checkpointing = recompute
        _, state = net.run(stream[:, :8], net.initial_state(2, SIZE))
        scores, state = net.run(stream[:, 8:], state)
        (scores.square().sum() + sum(tensor.sum() for tensor in state)).backward()
        found.append({name: p.grad for name, p in net.named_parameters()})
    whole = make_net(**LAPTOP)
    (whole.step_scores(stream)[:, 2:].square().sum()).backward()
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name
        assert gradient.abs().max() > 0, name
    weight = whole.classifier.weight.grad
    torch.testing.assert_close(found[0]["classifier.weight"], weight)


def test_frame_wise_training_reaches_every_parameter():
    net = make_net(torch.float32, **LAPTOP).train()
    scores = net.step_scores(make_stream(1, 2, 16))
    torch.nn.functional.cross_entropy(scores.flatten(0, 1), torch.arange(8) % 5).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_networks_with_a_future_have_scores_of_steps_too():
    torch.manual_seed(0)
    net = GestureNet(5, width=1 / 16, preprocessing="clip_mean").double().eval()
    clips = make_stream(1, 2, 8)
    torch.testing.assert_close(net.step_scores(clips).mean(1), net(clips))
    for use in (lambda: net.initial_state(2, SIZE), lambda: net.step(clips[:, :2], ())):
        with pytest.raises(Gesture3dError, match=r"looks into the future.*model\.causal=true"):
            use()


@pytest.mark.parametrize(
    ("chunk", "change", "message"),
    [
        ((1, 3), None, "chunk of 3 frames.*takes 4"),
        ((1, 0), None, "chunk of 0 frames"),
        ((2, 4), None, r"has \(1,\) at 0, not \(2,\)"),
        ((1, 4), lambda state: state[:-1], "has 19 tensors, not 20"),
        ((1, 4), lambda state: (*state[:-1], state[-1][..., :1]), "at 19"),
    ],
)
def test_what_does_not_fit_a_stream_is_refused(chunk, change, message):
    net = make_net(**LAPTOP)
    state = net.initial_state(1, SIZE)
    with pytest.raises(Gesture3dError, match=message):
        net.step(make_stream(1, *chunk), change(state) if change else state)


def test_a_whole_clips_mean_is_no_part_of_a_causal_network():
    with pytest.raises(ValueError, match="clip_mean"):
        make_net(preprocessing="clip_mean")


@torch.no_grad()
def test_a_strided_shortcut_takes_the_last_frame_of_each_pair():
    x = torch.randn(1, 8, 6, 4, 4)
    for causal, newest in ((True, 1), (False, 0)):
        shortcut = ResidualBlock(8, 16, 2, projection=True, causal=causal).eval().shortcut
        expected = torch.nn.functional.conv3d(x[:, :, newest::2, ::2, ::2], shortcut[0].weight)
        torch.testing.assert_close(shortcut[0](x), expected)


# ----------------------------------------------------------------------------------- preprocessing


def test_running_mean_and_differences_are_those_of_their_equations():
    mean_frames, stream = 3, make_stream(1, 2, 7)
    layer = Preprocessing("running_mean", 3, (0.0,), 2.0, False, mean_frames, differences=True)
    found = layer(stream, torch.float64).numpy()
    pixels = stream.double().numpy()
    mean = pixels[:, 0]
    for t in range(7):
        weight = max(1 / (t + 1), 1 / mean_frames)
        mean = (1 - weight) * mean + weight * pixels[:, t]
        np.testing.assert_allclose(found[:, :3, t], (pixels[:, t] - mean) / 2, atol=1e-12)
        change = (pixels[:, t] - pixels[:, max(t - 1, 0)]) / 2
        np.testing.assert_allclose(found[:, 3:, t], change, atol=1e-12)


@pytest.mark.parametrize("kind", [GestureNet, R3D18])
@pytest.mark.parametrize("preprocessing", ["clip_mean", "running_mean"])
@torch.no_grad()
def test_clips_have_the_options_of_streams(kind, preprocessing):
    torch.manual_seed(0)
    options = {"preprocessing": preprocessing, "differences": True, "width": 1 / 16}
    net, clips = kind(num_classes=5, **options).eval(), make_stream(1, 2, 8) // 2
    background = make_stream(2, 1, 1) // 2  # another image, added to every frame
    scores = net(clips)
    assert scores.shape == (2, 5)
    torch.testing.assert_close(net(clips + background), scores, rtol=1e-3, atol=1e-4)
