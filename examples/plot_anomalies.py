"""
Which images are unusual, and where?
====================================

A `ReconstructionOutlierDetector` that has seen only zeros finds nearly all other
digits. Its heat maps show what is unusual about them.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skvae import AE
from skvae.outlier import ReconstructionOutlierDetector
from skvae.plot import FeatureScoreDisplay

X, y = load_digits().images / 16, load_digits().target
zeros, others = X[y == 0], X[y != 0]
train, new_zeros = zeros[:120], zeros[120:]
ae = AE(4, max_iter=60, learning_rate=3e-3, random_state=0)
detector = ReconstructionOutlierDetector(ae, random_state=0).fit(train)

# %%
# The threshold comes from training images, each scored by a network that has not seen
# it. It is set so that one in twenty zeros is a false alarm.

found = (detector.predict(others) == -1).mean()
false_alarms = (detector.predict(new_zeros) == -1).mean()
print(
    f"found: {found:.3f} of other digits; false alarms: {false_alarms:.3f} of new zeros"
)

by_score = np.argsort(detector.score_samples(others))
shown = others[by_score[np.linspace(0, len(others) - 1, 6).astype(int)]]
fig = plt.figure(figsize=(7.5, 5.4), layout="constrained")
above, below = fig.subfigures(2, 1, height_ratios=[1, 1])
ax = above.subplots()
scores = {"new zeros": new_zeros, "other digits": others}
scores = {name: detector.score_samples(images) for name, images in scores.items()}
bins = np.linspace(min(map(np.min, scores.values())), scores["new zeros"].max(), 50)
for name, values in scores.items():
    ax.hist(values, bins, density=True, alpha=0.6, label=name)
ax.axvline(detector.offset_, color="black", linestyle="--", label="threshold")
ax.set(xlabel="score (unusual images on the left)", yticks=[], ylabel="density")
ax.legend()
display = FeatureScoreDisplay.from_estimator(detector, shown, figure=below)
display.axes_[0, 0].set_title("most unusual", fontsize=9)
display.axes_[0, -1].set_title("least unusual", fontsize=9)

plt.show()
