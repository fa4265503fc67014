"""
One fit for every number of components
======================================

PCA is fitted once, and you take as many components as you like. An `AE` with
``ordered=True`` can be used in the same way. With each number of components it
reconstructs test images better than PCA does.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skvae import AE

images = load_digits().images / 16
train, test = train_test_split(images, test_size=0.2, random_state=0)
flat, flat_test = train.reshape(-1, 64), test.reshape(-1, 64)
sizes = 2, 4, 8, 16

ae = AE(16, ordered=True, learning_rate=3e-3, max_iter=60, random_state=0).fit(train)
pca = PCA(16).fit(flat)
codes = pca.transform(flat_test)
by_pca = {
    n: (codes[:, :n] @ pca.components_[:n] + pca.mean_).reshape(-1, 8, 8) for n in sizes
}
by_ae = {n: ae.reconstruct(test, n_components=n) for n in sizes}

# %%
# Both were fitted once, with 16 components, and decode the first 2, 4, 8 or all of
# them. The images are from the test set.

fig, axes = plt.subplots(7, 9, figsize=(7.5, 6), layout="constrained")
shown = np.random.default_rng(1).choice(len(test), 7, replace=False)
columns = {"image": test}
for n in sizes:
    columns |= {f"PCA\n{n}": by_pca[n], f"AE\n{n}": by_ae[n]}
for column, (title, pictures) in zip(axes.T, columns.items(), strict=True):
    column[0].set_title(title, fontsize=10)
    for ax, picture in zip(column, pictures[shown], strict=True):
        ax.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
        ax.axis("off")

# %%
# The mean squared error of all test images:

for n in sizes:
    errors = [np.square(way[n] - test).mean() for way in (by_pca, by_ae)]
    print("{} components: PCA {:.4f}, ordered AE {:.4f}".format(n, *errors))

plt.show()
