"""Where a model runs, and how far a GPU's numbers may lie from the processor's."""

import torch

from opbench.io.errors import InputError

#: Largest absolute difference between GPU and CPU of a hidden state, a decoded value, one cell's attention weight or
#: an entry of an embedding. Both compute in float32 and sum in another order, so it is the tolerance to which the
#: forward pass is held against the public code; a sum over n cells may differ by n times as much.
GPU_TOLERANCE = 1e-4


def choose_device(name: str) -> torch.device:
    """The device that `model.device` names; InputError when it is a GPU and there is none.

    On a GPU float32 products keep all their bits: TF32, with ten bits of mantissa, is switched off.
    """
    if name == "cuda":
        if not torch.cuda.is_available():
            raise InputError(
                "model.device: 'cuda' asks for a GPU but PyTorch finds none here; set model.device to 'cpu' or run "
                "where there is one."
            )
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)
