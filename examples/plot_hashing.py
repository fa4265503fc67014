"""
Find similar images by 16 bits
==============================

A `SemanticHasher` turns each image into 16 bits, without labels. The images whose bits
differ least from those of a new one mostly show the same digit.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skvae import AE
from skvae.hashing import SemanticHasher

X, y = load_digits(return_X_y=True)
X, y, new, y_new = X[:1500], y[:1500], X[1500:], y[1500:]
ae = AE(16, corruption=3.0, max_iter=60, random_state=0)
hasher = SemanticHasher(ae, n_bits=16, random_state=0).fit(X)
distances, numbers = hasher.kneighbors(new, n_neighbors=8)
same = (y[numbers] == y_new[:, None]).mean()
print(f"neighbours that show the same digit: {same:.2f} (chance 0.10)")

# %%
# Each row: a new image, its bits, and its eight neighbours with the number of bits in
# which they differ. Neighbours of another digit have a red frame.

n_rows = 6
bits = hasher.transform(new[:n_rows])
fig, axes = plt.subplots(n_rows, 10, figsize=(8, 5.6), layout="constrained")
for i, row in enumerate(axes):
    row[0].imshow(new[i].reshape(8, 8), cmap="gray_r")
    row[1].imshow(bits[i].reshape(4, 4), cmap="gray_r", vmin=0, vmax=1)
    for ax, number, distance in zip(row[2:], numbers[i], distances[i], strict=True):
        ax.imshow(X[number].reshape(8, 8), cmap="gray_r")
        ax.set_xlabel(str(distance), fontsize=8, labelpad=1)
        if y[number] != y_new[i]:
            for spine in ax.spines.values():
                spine.set(color="tab:red", linewidth=2.5)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[0, :3], ("new", "bits", "nearest"), strict=True):
    ax.set_title(title, fontsize=9)

plt.show()
