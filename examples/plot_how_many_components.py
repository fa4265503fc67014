"""
How many components?
====================

Codes of 1 to 16 components of scikit-learn's digits, each judged on images that the
network has not seen: how well they are reconstructed, how probable the model says they
are, and how many digits a classifier names right. The first four components bring most
of the score; all three numbers still get better up to 16.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skvae import VAE
from skvae.inspection import choose_n_components

X, y = load_digits(return_X_y=True)
vae = VAE(max_iter=30, random_state=0)
table = choose_n_components(vae, X, y, n_components=[1, 2, 4, 8, 16], cv=3)
print(table.round(3).to_string())

# %%
# Bars are standard errors over three folds. The dashed line is the smallest size whose
# score is within one standard error of the best.

columns = {
    "error": "error, share of the variance",
    "log_likelihood": "log-likelihood, nats",
    "score": "accuracy of a classifier",
}
fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), layout="constrained")
for ax, (name, label) in zip(axes, columns.items(), strict=True):
    ax.errorbar(table.index, table[name], table[f"{name}_se"], marker="o", capsize=3)
    ax.axvline(table["is_enough"].idxmax(), color="0.5", linestyle="--")
    ax.set(xscale="log", xlabel="components", ylabel=label)
    ax.set_xticks(table.index, table.index)
    ax.minorticks_off()

plt.show()
