"""Train a VAE of four components on digits, and write its decoder for index.html."""

from pathlib import Path

from sklearn.datasets import load_digits

from skvae import VAE, to_onnx

X = load_digits().images / 16
vae = VAE(4, likelihood="bernoulli", max_iter=100, random_state=0).fit(X)
graph = to_onnx(vae, X[:2], method="inverse_transform")
Path(__file__).with_name("decoder.onnx").write_bytes(graph.SerializeToString())
