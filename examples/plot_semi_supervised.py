"""
Learn from a few labels and many images
=======================================

`AAEClassifier` learns from all images and the few labels that there are. In `y`, -1
means that a label is not known, as in ``sklearn.semi_supervised``. The example compares
it with label spreading, with self-training of a support vector machine, and with that
machine on the labelled images alone.

The data are scikit-learn's digits: 1437 real images to learn from and 360 to test, in
one split. Each accuracy is the mean of two draws of the labels, and has a standard
error of one to two points from the 360 images alone.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit, train_test_split
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

from skvae import AAEClassifier
from skvae.model_selection import stacked_training

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(
    X / 16, y, test_size=0.2, stratify=y, random_state=0
)


class Scored(SVC):
    """A support vector machine whose scores stand for probabilities."""

    def predict_proba(self, X):
        scores = np.exp(2 * self.decision_function(X))
        return scores / scores.sum(axis=1, keepdims=True)


def score(name, model, n_labels, seed):
    """Accuracy on the test images with so many labels, as many of each digit."""
    splitter = StratifiedShuffleSplit(1, train_size=n_labels, random_state=seed)
    known, _ = next(splitter.split(X, y))
    if isinstance(model, SVC):
        model.fit(X[known], y[known])
    else:
        some = np.full(len(y), -1)
        some[known] = y[known]
        model.fit(X, some)
    return name, n_labels, model.score(X_test, y_test)


jobs = []
for n_labels in (20, 50, 100, 300):
    for seed in range(2):
        models = {
            "AAEClassifier": AAEClassifier(max_iter=60, random_state=seed),
            "label spreading": LabelSpreading(kernel="knn", n_neighbors=7),
            "self-training": SelfTrainingClassifier(Scored()),
            "labels only": SVC(),
        }
        for name, model in models.items():
            jobs.append((name, model, n_labels, seed))

# %%
# The eight networks are trained as one batch.

with stacked_training():
    rows = Parallel()(delayed(score)(*job) for job in jobs)
table = pd.DataFrame(rows, columns=["model", "labels", "accuracy"]).pivot_table(
    index="labels", columns="model", values="accuracy", sort=False
)
print(table.round(3).to_string())

fig, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
table.plot(ax=ax, marker="o", logx=True, xticks=table.index, ylabel="test accuracy")
ax.minorticks_off()
ax.set_xticklabels(table.index)
ax.set_xlabel("labels among 1437 images")
ax.grid(alpha=0.3)
ax.set_title("Digits with few labels, mean of two draws")
plt.show()
