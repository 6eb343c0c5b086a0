"""Seeds by axis: every random stream is keyed by what it belongs to, never by call order."""

import hashlib

import numpy as np


def derive_seed(*keys: object) -> int:
    """Return a 63-bit seed that depends on `keys` alone.

    Keys are joined by their `str`, so ("split", 3) and ("split", "3") are the same axis point.
    """
    text = "\x1f".join(str(key) for key in keys)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def keyed_rng(*keys: object) -> np.random.Generator:
    """Return a generator keyed by `keys`: the same keys give the same bits in any order of calls.

    Philox is counter-based, so making one per cell is cheap (about 10 microseconds).
    """
    return np.random.Generator(np.random.Philox(key=derive_seed(*keys)))
