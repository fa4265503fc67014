"""
What does a component mean?
===========================

A `VAE` learns four components of synthetic tumours in slices of 24 x 24 pixels. It is
told nothing of their radius, brightness or place. Decoding along a component shows what
changes; correlations with what is known say how sure that is; attributions show which
pixels decide.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skvae import VAE
from skvae.inspection import latent_correlation
from skvae.plot import (
    AttributionDisplay,
    LatentCorrelationDisplay,
    LatentTraversalDisplay,
)

rng = np.random.default_rng(0)
n_slices, size = 800, 24
known = pd.DataFrame(
    {
        "radius": rng.uniform(3, 8, n_slices),
        "brightness": rng.uniform(0.4, 1, n_slices),
        "left-right": rng.uniform(-4, 4, n_slices),
        "unrelated": rng.normal(size=n_slices),
    }
)
row, column = np.mgrid[:size, :size] - (size - 1) / 2
distance = np.hypot(row, column - known["left-right"].to_numpy()[:, None, None])
edge = distance - known["radius"].to_numpy()[:, None, None]
images = known["brightness"].to_numpy()[:, None, None] / (1 + np.exp(2 * edge))
images += 0.05 * rng.normal(size=images.shape)

train, test = images[:600], images[600:]
vae = VAE(4, max_iter=60, batch_size=64, random_state=0).fit(train)
LatentTraversalDisplay.from_estimator(vae, test, n_steps=7)

# %%
# A dot marks what is more than chance among all pairs. What is unrelated has none. The
# clearest pair is shown in full.

LatentCorrelationDisplay.from_estimator(vae, test, known[600:])
found = latent_correlation(vae, test, known[600:], measures=["spearman"])
print(found.sort_values("adjusted_p_value").round(3).head().to_string())

# %%
# The pixels that move the component that goes with the radius, in four test slices:
# those at the edge. Contours enclose the strongest twentieth.

of_radius = found[found["target"] == "radius"]["value"].abs().argmax()
AttributionDisplay.from_estimator(vae, test[:4], int(of_radius))

plt.show()
