"""What the gradients written by hand share."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def first_order(backward: Callable) -> Callable:
    """A function's ``backward`` whose result cannot be differentiated again: to do so raises.

    PyTorch's own decorator raises only where an incoming gradient is to be differentiated too;
    otherwise, as for a penalty on gradients of a sum, the second order would silently be missing.
    """
    once = once_differentiable(backward)

    @functools.wraps(backward)
    def checked(ctx, *gradients):
        if torch.is_grad_enabled():  # create_graph=True
            gradients = tuple(
                g.detach().requires_grad_() if isinstance(g, Tensor) else g for g in gradients
            )
        return once(ctx, *gradients)

    return checked
