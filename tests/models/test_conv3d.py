"""bf16 3-D convolutions on a CPU: right, free of oneDNN's unsafe ones, the same function."""

import os
import platform
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from gesture3d import machine
from gesture3d.models import conv3d
from gesture3d.models.conv3d import CausalConv3d, SafeConv3d, sum_of_2d
from gesture3d.models.gesture_net import GestureNet
from gesture3d.models.r3d_18 import R3D18

NETWORKS = {
    "gesture_net": lambda: GestureNet(5, ("a", "b"), width=1 / 8),
    "r3d_18": lambda: R3D18(5, width=1 / 8),
}
KERNELS = [((3, 3, 3), (1, 1, 1)), ((3, 3, 3), (2, 2, 2)), ((3, 7, 7), (2, 3, 3))]
KERNELS += [((1, 1, 1), (2, 2, 2)), ((5, 3, 3), (3, 1, 1)), ((3, 7, 7), (1, 2, 2))]


def make_clips(frames=16, size=32, batch=2):
    generator = torch.Generator().manual_seed(0)
    shape = (batch, frames, 3, size, size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


class Unsafe(TorchDispatchMode):
    """Convolutions of maps over time in low precision, with the frames that they read."""

    def __init__(self):
        super().__init__()
        self.frames, self.sides, self.full_precision = [], [], 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if "conv" in operation.overloadpacket.__name__:
            backward = "backward" in operation.overloadpacket.__name__
            x, weight = args[1:3] if backward else args[:2]
            if x.ndim == 5 and x.dtype.itemsize == 2:
                self.frames.append((x.shape[2], weight.shape[2]))
                self.sides.append((max(x.shape[3:]), max(weight.shape[:2])))
            self.full_precision += x.ndim == 5 and x.dtype.itemsize == 4
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("frames", [2, 16])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("amx", [False, True])
def test_no_network_calls_an_unsafe_convolution(name, frames, checkpointing, amx, monkeypatch):
    """No layer of any network, in the forward or the backward pass."""
    monkeypatch.setattr(conv3d, "AMX", amx)
    network = NETWORKS[name]()
    network.gradient_checkpointing = checkpointing
    clips = make_clips(frames)
    with Unsafe() as unsafe:
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(clips)
        scores.square().sum().backward()
    if amx:  # half of the least that was seen to be wrong
        assert all(side <= 48 and 2 * side * channels < 3072 for side, channels in unsafe.sides)
    assert all(time >= kernel > 1 for time, kernel in unsafe.frames)
    with Unsafe() as unsafe:
        network(clips).sum().backward()
    assert unsafe.full_precision > 20  # which are `nn.Conv3d`'s own: the test sees what there is


def test_forward_passes_alone_are_left_to_onednn(monkeypatch) -> None:
    """Which are right with AMX, too, where no kernel is longer than the clip."""
    monkeypatch.setattr(conv3d, "AMX", True)
    conv = SafeConv3d(8, 8, 3, padding=1, bias=False)
    calls = []
    for frames in (2, 3):
        x = torch.randn(1, 8, frames, 64, 64).to(memory_format=torch.channels_last_3d)
        for mode in (torch.inference_mode, torch.enable_grad):
            with Unsafe() as unsafe, mode(), torch.autocast("cpu", torch.bfloat16):
                y = conv(x)
            calls.append(unsafe.frames)
            torch.testing.assert_close(y.float(), conv(x), rtol=0.02, atol=0.02)
    assert calls == [[], [], [(3, 3)], []]


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("kernel", "stride"), KERNELS)
def test_it_is_the_same_function(frames, kernel, stride):
    torch.manual_seed(0)
    padding = tuple(k // 2 for k in kernel)
    x = torch.randn(2, 2, frames, 8, 9, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, *kernel, dtype=torch.float64, requires_grad=True)
    expected = F.conv3d(x, weight, None, stride, padding)
    found = sum_of_2d(x, weight, stride, padding)
    torch.testing.assert_close(found, expected)
    d_y = torch.randn_like(expected)
    found, expected = (torch.autograd.grad(y, (x, weight), d_y) for y in (found, expected))
    torch.testing.assert_close(found, expected)


def test_it_can_be_differentiated_twice():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    run = lambda x, weight: sum_of_2d(x, weight, (2, 1, 1), (1, 1, 1))  # noqa: E731
    assert torch.autograd.gradcheck(run, (x, weight))
    assert torch.autograd.gradgradcheck(run, (x, weight))


@pytest.mark.parametrize("amx", [False, True])
def test_nothing_but_the_input_is_kept(amx, monkeypatch):
    from gesture3d.benchmarks.timing import kept_bytes

    monkeypatch.setattr(conv3d, "AMX", amx)
    conv = SafeConv3d(8, 8, 3, padding=1, bias=False).bfloat16()
    x = torch.randn(2, 8, 4, 16, 16, dtype=torch.bfloat16)
    assert kept_bytes(conv, x) == x.nbytes  # the result


GRADIENTS_ARE_RIGHT = """if True:
    import torch
    from gesture3d.machine import has_bf16
    from gesture3d.models import conv3d
    from gesture3d.models.conv3d import SafeConv3d
    torch.manual_seed(0)
    layers = [(8, 8, 3, 1, 1), (8, 8, 3, 2, 1), (8, 8, 1, 1, 0), (8, 8, 1, 2, 0)]
    layers += [(3, 8, (3, 7, 7), (1, 2, 2), (1, 3, 3))]
    many = [(32, 64, 3, 2, 1), (64, 64, 3, 1, 1)]  # with AMX by oneDNN at 16 pixels, not at 48
    lengths = {1: (1, 2, 3), 2: (1, 3), 10: (1, 2, 3, 8), 16: (3, 4)}
    if has_bf16():  # elsewhere large maps are slow, and never chosen
        lengths |= {48: (4,), 112: (1, 2, 3), 224: (1, 2)}
    else:
        many.pop()
    cases = [
        (size, frames, layer)
        for size, clip_lengths in lengths.items()
        for frames in clip_lengths
        for layer in (many if size in (16, 48) else layers)
    ]
    amx = {conv3d.AMX, True}
    for size, frames, (channels, out, *rest) in cases:
        conv = SafeConv3d(channels, out, *rest, bias=False)
        x = torch.randn(1, channels, frames, size, size)
        x = x.to(memory_format=torch.channels_last_3d).requires_grad_()
        y = conv(x)
        d_y = torch.randn_like(y)
        exact = torch.autograd.grad(y, (x, conv.weight), d_y)
        if size == 10:
            double = [t.detach().double().requires_grad_() for t in (x, conv.weight)]
            y = torch.nn.functional.conv3d(*double, None, conv.stride, conv.padding)
            exact = torch.autograd.grad(y, double, d_y.double())
        for conv3d.AMX in amx:
            trash = [torch.full((n,), torch.nan) for n in (100, 1000, 10_000, 100_000) * 6]
            del trash
            with torch.autocast("cpu", torch.bfloat16):
                y = conv(x)
            found = torch.autograd.grad(y, (x, conv.weight), d_y.bfloat16())
            for a, b in zip(found, exact):
                error = (a.double() - b.double()).norm() / b.double().norm()
                assert error < 0.01, (conv3d.AMX, size, frames, rest, error)
"""


def guarded() -> dict[str, str]:
    """The environment under a C library that ends the process where memory beyond a block was
    written."""
    environment = os.environ | {"MALLOC_CHECK_": "3", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    if platform.libc_ver()[0] == "glibc":  # whose own allocator does not look any more since 2.34
        environment["LD_PRELOAD"] = "libc_malloc_debug.so.0"
    return environment


def test_gradients_are_right_and_memory_is_whole() -> None:
    """On this processor and as with AMX."""
    if os.environ.items() >= guarded().items():  # as in `test_instruction_sets`
        exec(GRADIENTS_ARE_RIGHT, {})
    else:
        subprocess.run([sys.executable, "-c", GRADIENTS_ARE_RIGHT], check=True, env=guarded())


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_what_the_environment_takes_away_counts(name, monkeypatch):
    for other in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(other, raising=False)
    for amx in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.delenv(name, raising=False)
        assert (machine.has_amx(), machine.has_bf16()) == (amx, True)
        found = {}
        for cap in ("avx2", "AVX512_CORE", "AVX512_CORE_BF16", "AVX512_CORE_AMX", "ALL"):
            monkeypatch.setenv(name, cap)
            found[cap] = machine.has_amx(), machine.has_bf16()
        assert found == {
            "avx2": (False, False),
            "AVX512_CORE": (False, False),
            "AVX512_CORE_BF16": (False, True),
            "AVX512_CORE_AMX": (amx, True),
            "ALL": (amx, True),
        }
        expected = ["AVX2", "AVX512_CORE", "AVX512_CORE_BF16"]
        expected += ["AVX512_CORE_AMX" if amx else "AVX512_CORE_BF16"] * 2
        monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: True)
        monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)
        for cap, instruction_set in zip(found, expected, strict=True):
            monkeypatch.setenv(name, cap)
            assert machine.instruction_set() == instruction_set
            enabled = machine.autocast(torch.device("cpu"), "auto")._enabled
            assert enabled == found[cap][1]
    monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert not machine.has_bf16()


class Named(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.append(operation.overloadpacket.__name__)
        return operation(*args, **(kwargs or {}))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch without oneDNN")
@pytest.mark.parametrize("kind", [SafeConv3d, CausalConv3d])
def test_single_small_clips_are_left_to_onednn(kind):
    """And have the same result and gradient as in float64."""
    torch.manual_seed(0)
    conv = kind(4, 5, (3, 3, 3), (1, 2, 2), (1, 1, 1), bias=True)
    x = torch.randn(1, 4, 3, 12, 10, requires_grad=True)
    with Named() as seen:
        found = conv(x)
    assert "mkldnn_convolution" in seen.names
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    conv, x = conv.double(), x.detach().double().requires_grad_()
    with Named() as seen:
        expected = conv(x)
    assert "mkldnn_convolution" not in seen.names
    (slope,) = torch.autograd.grad(expected.square().sum(), x)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.double(), slope, rtol=1e-5, atol=1e-5)
    step = CausalConv3d(4, 5, (3, 3, 3), (1, 1, 1), (1, 1, 1))
    with torch.no_grad(), Named() as seen:
        step(torch.randn(1, 4, 1, 12, 10))
    assert "mkldnn_convolution" in seen.names
