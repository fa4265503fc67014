"""Networks, built from what an estimator was given."""

import math
import threading
from contextlib import contextmanager

import torch

from ..nn import encoder_shape, octaves
from .threads import threads_for

_lending = threading.RLock()


@contextmanager
def lent_globals(seed, device="cpu"):
    """Seed PyTorch's generators and set its precision, and put all back in the end."""
    device = torch.device(device)
    devices = [device] if device.type == "cuda" else []
    precision = torch.get_default_dtype()
    with _lending, torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        for cuda in devices:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(precision)


def inference_batch(sample_shape):
    """Return how many samples one forward pass takes outside of training.

    Products of few rows run on kernels of their own, and activations end in a scalar
    loop where a thread's share is no multiple of the vector length; both change the
    last bit. Batches are therefore padded, as long as that is cheap.

    Returns
    -------
    size : int
        128 at most, and fewer if their input alone would take more than 16 MiB.
    multiple : int
        What batches are padded to a multiple of: 64, and fewer for large samples.
    """
    n_values = math.prod(sample_shape)
    return max(1, min(128, 2**22 // n_values)), max(1, min(64, 2**18 // n_values))


@threads_for(0)  # passes of two samples
@torch.inference_mode(False)
def build_module(
    module,
    architecture,
    likelihood,
    n_components,
    shift,
    spread,
    *,
    ordered=False,
    has_gaps=False,
    **options,
):
    """Build the networks for samples of the shape of `shift`, and join them.

    Parameters
    ----------
    module : type
        Such as `skvae.nn.AEModule`.
    architecture : object
        With `encoder` and `decoder`.
    likelihood : Likelihood
    n_components : int
    shift : ndarray of shape sample_shape
    spread : float
    ordered : bool
        Whether each prefix of the code is a code, with a decoder for each octave.
    has_gaps : bool
        Whether values of the data may be missing.
    **options
        Further arguments of `module`.

    Returns
    -------
    module : torch.nn.Module
    """
    sample_shape = shift.shape
    shape_to_encode = encoder_shape(sample_shape, has_gaps)
    encoder = architecture.encoder(shape_to_encode).float()
    n_inputs = n_components
    if "n_bits" in options:
        n_inputs += options["n_bits"]
        options["reader"] = architecture.encoder(sample_shape).float()
        options["n_read"] = _flat_width(options["reader"], sample_shape)
    elif module.decodes_classes:
        n_inputs += len(options["class_prior"])
    decoder = architecture.decoder(n_inputs, sample_shape).float()
    if ordered:
        options["prefix_decoders"] = [
            architecture.decoder(n_inputs, sample_shape).float()
            for _ in octaves(n_components)[:-1]
        ]
    n_hidden = _flat_width(encoder, shape_to_encode)
    others = " and the class, one-hot, or the mark" * module.decodes_classes
    note = f", the code{others}"
    shape = tuple(_try("decoder", decoder, "inputs", (n_inputs,), note).shape[1:])
    if shape != sample_shape:
        raise ValueError(
            f"The decoder of `architecture` must return samples of shape "
            f"{sample_shape}, got {shape} from inputs of shape ({n_inputs},)."
        )
    return module(
        encoder,
        decoder,
        likelihood,
        n_hidden=n_hidden,
        n_components=n_components,
        shift=torch.from_numpy(shift.copy()),
        spread=spread,
        has_gaps=has_gaps,
        **options,
    ).eval()


@torch.no_grad()
def _try(part, network, inputs, shape, note=""):
    """Run a part of an architecture on two inputs of zeros."""
    try:
        return network.eval()(torch.zeros(2, *shape, dtype=torch.float32))
    except (IndexError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"The {part} of `architecture` must take {inputs} of shape {shape}{note}: "
            f"{error}"
        ) from error


def _flat_width(encoder, sample_shape):
    hidden = _try("encoder", encoder, "samples", sample_shape)
    if not isinstance(hidden, torch.Tensor) or len(hidden) != 2:
        raise ValueError(
            "The encoder of `architecture` must return one tensor of shape "
            f"(n_samples, ...), got {type(hidden).__name__} from samples of shape "
            f"{sample_shape}. Wrap a module that returns a tuple in one of your own."
        )
    return hidden.flatten(1).shape[1]


def resolve_device(device):
    """Return the torch device for what the user asked."""
    if not isinstance(device, str | torch.device):
        raise TypeError(f"`device` must be a str or a torch.device, got {device!r}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"`device`={device!r} is not available here ({error}). Take device='auto'."
        ) from error
    return torch.device(device)
