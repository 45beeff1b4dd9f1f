"""Contents of files of numbers: .mat, .npy, .npz and CSV."""

import io

import numpy as np
from scipy.io import savemat

VALUES = np.random.default_rng(0).normal(size=(20, 3, 6))
JOINTS = VALUES.transpose(2, 0, 1)


def mat(values: np.ndarray, name: str = "d", **options) -> bytes:
    content = io.BytesIO()
    savemat(content, {"other": VALUES[0], name: values, "word": "text"}, **options)
    return content.getvalue()


def npy(values: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def csv_text(values: np.ndarray, header: str) -> bytes:
    rows = [",".join(f"{v:.4f}" for v in row) for row in values.reshape(len(values), -1)]
    return "\n".join([header, *rows]).encode()
