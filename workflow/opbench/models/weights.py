"""Weight files: read without running what is in them, checked tensor by tensor, never copied where they fit."""

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from opbench.io.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def read_weights(path: Path) -> "dict[str, Tensor]":
    """Read a state dict: float32 tensors by PyTorch's names (`in_proj_`, not the released `Wqkv`).

    Tensors of the zip layout and of safetensors are mapped, so that only what is used becomes memory. Half and
    double precision are cast. Raises InputError for a file that is unreadable or holds anything but named floating
    tensors of finite numbers; a pickle's code is never run.
    """
    import torch

    state = _unpack(path, _load(path))
    named: dict[str, Tensor] = {}
    for key, tensor in state.items():
        name = key.removeprefix("module.").replace("self_attn.Wqkv.", "self_attn.in_proj_")
        if name in named:
            raise InputError(f"{path}: tensor '{name}' is there twice, under two names; keep one.")
        if not tensor.is_floating_point() or tensor.layout != torch.strided:
            raise InputError(
                f"{path}: tensor '{key}' is {str(tensor.dtype).removeprefix('torch.')}, not dense floating-point "
                "numbers; save the weights in float32."
            )
        named[name] = tensor.float()
        # The extremes are NaN if any value is, and need no copy of the tensor.
        if tensor.numel() and not all(bool(end.isfinite()) for end in torch.aminmax(named[name])):
            raise InputError(f"{path}: tensor '{key}' holds NaN or infinite weights; fetch the file again.")
    return named


def _load(path: Path) -> object:
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: is no file of tensors alone, and nothing else is unpickled because it could run code; "
            "save model.state_dict() with torch.save, or fetch the file again."
        ) from error
    except Exception as error:  # a damaged archive makes torch raise nearly any kind
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"{path}: is not a readable weight file ({reason}); fetch it again.") from error


def _unpack(path: Path, state: object) -> "dict[str, Tensor]":
    import torch

    if isinstance(state, dict) and "model_state_dict" in state:
        state = state["model_state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise InputError(f"{path}: is no state dict (tensors by name); save model.state_dict().")
    return state
