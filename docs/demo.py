"""Write the model of the demonstration on the front page: a decoder in whole numbers.

A `VAE` of four components learns MNIST. The weights of its decoder are rounded to
bytes, with a scale per row, and written as text that a page loads without a server.
Usage::

    SKVAE_DATA=... python docs/demo.py
"""

import base64
import gzip
import json
import os
from pathlib import Path

import numpy as np

from skvae import MLP, VAE

FILE = Path(__file__).parent / "_static" / "demo_weights.js"


def mnist(part):
    """Return images in [0, 1] as flat rows, and their labels."""
    folder = Path(os.environ["SKVAE_DATA"], "mnist")

    def read(kind, offset):
        path = folder / f"{part}-{kind}-ubyte.gz"
        return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, -1, offset)

    return read("images-idx3", 16).reshape(-1, 784) / np.float32(255), read(
        "labels-idx1", 8
    )


def packed(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def rounded(weight):
    """Round a matrix to bytes; return them and the scale of each row."""
    scale = np.abs(weight).max(axis=1) / 127
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype("<f4")


if __name__ == "__main__":
    X, _ = mnist("train")
    networks = MLP(hidden_layer_sizes=(160, 64), activation="relu")
    options = {"likelihood": "bernoulli", "max_iter": 60, "random_state": 0}
    vae = VAE(4, architecture=networks, **options).fit(X)
    X_test, y_test = mnist("t10k")
    codes = vae.transform(X_test)
    layers, hidden = [], codes
    for layer in vae.module_.decoder:
        if hasattr(layer, "weight"):
            weight, bias = (t.detach().numpy() for t in (layer.weight, layer.bias))
            whole, scale = rounded(weight)
            parts = {"weight": whole, "scale": scale, "bias": bias.astype("<f4")}
            layers.append({name: packed(part) for name, part in parts.items()})
            logits = hidden @ (whole * scale[:, None]).T + bias
            hidden = np.maximum(logits, 0)
    error = {
        "as trained": np.square(vae.reconstruct(X_test) - X_test).mean(),
        "in bytes": np.square(1 / (1 + np.exp(-logits)) - X_test).mean(),
    }
    likely = np.square(codes).sum(axis=1) + 1e9 * (
        np.square(vae.reconstruct(X_test) - X_test).mean(axis=1) > error["as trained"]
    )
    digits = [np.where(y_test == digit, likely, np.inf).argmin() for digit in range(10)]
    demo = {"layers": layers, "digits": codes[digits].round(2).tolist()}
    FILE.write_text(f"const DEMO = {json.dumps(demo)};\n")
    print(
        f"{FILE.stat().st_size / 1000:.0f} kB; mean squared error of 10,000 test images"
    )
    for name, value in error.items():
        print(f"    {name}: {value:.4f}")
