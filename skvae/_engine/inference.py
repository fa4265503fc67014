"""Inference in batches, from arrays to arrays."""

from functools import partial, wraps

import torch
from torch.nn import functional

from .._blocks import BlockRows
from .._random import row_noise
from .._validation import prefix_of, to_numpy
from ..nn import Noise, layer_function
from .rows import as_tensor, empty_beside


def in_single_precision(method):
    """Run a method of a net as if it were called outside of ``torch.autocast``."""

    @wraps(method)
    def run(net, *args, **kwargs):
        with torch.autocast(torch.device(net.device).type, enabled=False):
            return method(net, *args, **kwargs)

    return run


class Inference:
    """Methods of a net that apply its module to rows of data."""

    def as_samples(self, rows):
        """Give flat rows, or pairs of them, the shape that the networks expect."""
        return rows.reshape(*rows.shape[:-1], *self.module_.shift.shape)

    def extract(self, rows, names):
        """Return the named layers of flat rows, or prefixes, as a dict of arrays."""
        noise = []
        if any(prefix_of(name)[0] == "z" for name in names):
            given = rows if isinstance(rows, BlockRows) else to_numpy(rows)
            noise = [row_noise(given, self.seed, self.module_.n_components)]
        return self.apply_many(self.layers(names), self.as_samples(rows), *noise)

    def layers(self, names):
        """Return a function that gives the named layers of samples, or prefixes.

        If "z" is among them, it takes noise beside the samples.
        """
        module, sizes = self.module_, self.module_.code_sizes
        parts = {name: prefix_of(name) for name in names}
        wanted = {layer for layer, _ in parts.values()}
        if "z" in wanted:
            wanted = wanted - {"z"} | set(sizes)
        if wanted <= set(sizes):
            run = partial(module.encode, names=wanted)
        else:
            run = self._watched(wanted)

        def layers(X, *noise):
            outputs = run(X)
            for draw in noise:
                outputs["z"] = module.draw(outputs, draw[:, : sizes["mu"]])
            return {
                name: outputs[layer] if n is None else outputs[layer][:, :n]
                for name, (layer, n) in parts.items()
            }

        return layers

    def _watched(self, names):
        """Return a function that gives outputs of submodules, parts of the code too."""
        run, sizes = layer_function(self.module_, names), self.module_.code_sizes

        def outputs_of(X):
            outputs = run(X)
            codes = {name: outputs[name] for name in sizes.keys() & outputs.keys()}
            return outputs | self.module_.as_used(codes)

        return outputs_of

    def draw_codes(self, n_samples, y, seed):
        """Draw codes from the prior of the module, of given classes if any."""
        noise = Noise(torch.Generator().manual_seed(seed), self.device)
        y = None if y is None else as_tensor(y).to(self.device)
        codes = self.module_.prior.sample(n_samples, y, noise)
        return codes[:, : self.module_.code_sizes["mu"]].cpu().numpy()

    def decode(self, codes, dtype, seed=None, logits=False):
        """Decode to means of the likelihood, to draws from it, or to logits."""
        if logits:
            return self.apply(self.module_.logits, codes, dtype=dtype)
        noise = None
        if seed is not None:
            noise = Noise(torch.Generator().manual_seed(seed), self.device)
        return self.apply(lambda Z: self.module_.decode(Z, noise), codes, dtype=dtype)

    def path_gradients(self, rows, start, layer, index, nodes, weights):
        """Return what each input value does to one value of a layer.

        The gradient of that value is averaged over points of the straight line from
        `start` to each of the rows, and multiplied by the way.
        """
        start = as_tensor(start)
        if layer in self.module_.code_sizes:
            run = partial(self.module_.encode, names=[layer])
        else:
            run = self._watched({layer})

        def gradients(X):
            with torch.inference_mode(False), torch.enable_grad():
                X = X.clone()
                way = X - start.to(X)
                total = torch.zeros_like(X)
                for node, weight in zip(nodes, weights, strict=True):
                    point = (X - (1 - node) * way).requires_grad_()
                    value = run(point)[layer].flatten(1)[:, index].sum()
                    total += weight * torch.autograd.grad(value, point)[0]
            return torch.where(way.isnan(), 0, total * way)

        return self.apply(gradients, self.as_samples(rows), dtype="float64")

    def apply(self, function, *arrays, dtype="float32"):
        """Apply a function from tensors to one tensor, batch by batch."""
        outputs = self.apply_many(
            lambda *batch: {"": function(*batch)}, *arrays, dtype=dtype
        )
        return outputs[""]

    @torch.inference_mode()
    @in_single_precision
    def apply_many(self, function, *arrays, dtype="float32"):
        """Apply a function from tensors to a dict of tensors, batch by batch.

        Parameters
        ----------
        function : callable
            Takes a tensor per array; returns tensors with as many rows.
        *arrays : ndarray or Tensor of shape (n_samples, ...)
        dtype : {"float32", "float64"}
            Precision of the outputs.

        Returns
        -------
        outputs : dict of ndarray or Tensor of shape (n_samples, ...)
            Tensors, on the same device, if the first of `arrays` is one.
        """
        self.module_.eval()
        n_samples, size = len(arrays[0]), self.inference_batch_size
        outputs = {}
        with self.threads(self.row_multiple):  # the same, however many samples come
            for start in range(0, n_samples, size):
                stop = min(start + size, n_samples)
                batch = (self._batch(array[start:stop]) for array in arrays)
                for name, tensor in function(*batch).items():
                    if name not in outputs:
                        shape = (n_samples, *tensor.shape[1:])
                        outputs[name] = empty_beside(arrays[0], shape, dtype)
                    outputs[name][start:stop] = tensor[: stop - start]
        if isinstance(arrays[0], torch.Tensor):
            return outputs
        return {name: values.numpy() for name, values in outputs.items()}

    def _batch(self, array):
        batch = as_tensor(array)
        missing = -len(batch) % self.row_multiple
        if missing:
            batch = functional.pad(batch, [0, 0] * (batch.dim() - 1) + [0, missing])
        return self._move(batch, copy=not self.self_contained)

    def _move(self, tensor, **kwargs):
        """Move a batch to the device; on MPS there is no double precision."""
        device = torch.device(self.device)
        if device.type == "mps" and tensor.dtype == torch.float64:
            tensor = tensor.float()
        return tensor.to(device, **kwargs)
