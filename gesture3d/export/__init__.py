"""Trained networks as files that other programs run; reading them back needs no PyTorch."""

from gesture3d.export.described import Exported, Proof, read_onnx

__all__ = ["Exported", "Proof", "read_onnx"]
