"""Seeds and noise: everything random is drawn from here, never from a global state."""

import hashlib

import numpy as np
from scipy.special import ndtri
from sklearn.utils import check_random_state

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def draw_seed(random_state):
    """Draw one non-negative integer seed from `random_state`.

    ``None`` takes fresh entropy from the operating system instead of NumPy's
    global state, which is neither read nor written.
    """
    if random_state is None:
        random_state = np.random.RandomState(np.random.MT19937())
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def child_seed(seed, *path):
    """Derive the seed of one step (an epoch, a purpose) from the seed of the fit."""
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0])


def row_noise(X, key, n_columns):
    """Draw standard normal noise that depends on the content of each row only.

    The bytes of a row, hashed with `key`, start a counter-based generator
    (SplitMix64; Steele, Lea and Flood, 2014), whose output is mapped through the
    normal quantile. Equal rows get equal noise, in any order and in any batch.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Equal numbers of single and double precision get the same noise.
    key : int
        Non-negative integer below 2**64.
    n_columns : int

    Returns
    -------
    noise : ndarray of shape (n_samples, n_columns), float32
    """
    key = int(key).to_bytes(8, "little")
    digests = b"".join(
        hashlib.blake2b(row.astype(np.float64) + 0.0, key=key, digest_size=8).digest()
        for row in X
    )
    start = np.frombuffer(digests, dtype=np.uint64)[:, None]
    bits = _split_mix(start + np.arange(1, n_columns + 1, dtype=np.uint64) * _GOLDEN)
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    return ndtri(uniform).astype(np.float32)


def _split_mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
