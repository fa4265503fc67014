import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import skvae
from skvae.plot import ReconstructionDisplay

# Images of your own: an array of shape (n, height, width) or (n, channels, ...)
images = load_digits().images / 16
train, test = train_test_split(images, random_state=0)
vae = skvae.VAE(8, architecture="conv", max_iter=30, random_state=0).fit(train)
codes = vae.transform(test)
error = np.square(vae.reconstruct(test) - test).mean()
print(f"{test.shape} became {codes.shape}; mean squared error {error:.3f}")

skvae.save(vae, "images.skvae")
ReconstructionDisplay.from_estimator(vae, test[:10])
plt.savefig("images.png")
