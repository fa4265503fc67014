import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae.plot import LatentSpaceDisplay
from skvae.preprocessing import SquashingScaler

# With a file of your own: X = pandas.read_csv("features.csv"); y = X.pop("label")
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
vae = skvae.VAE(4, random_state=0)
latents = make_pipeline(SquashingScaler(), vae, StandardScaler(), LogisticRegression())
features = make_pipeline(SquashingScaler(), LogisticRegression())
for name, pipeline in {"4 latents": latents, "30 features": features}.items():
    scores = cross_val_score(pipeline, X, y, scoring="roc_auc", cv=5)
    print(f"{name}: area {scores.mean():.3f}, standard deviation {scores.std():.3f}")

skvae.save(latents.fit(X, y), "table.skvae")
LatentSpaceDisplay.from_estimator(latents[:2], X, y)
plt.savefig("table.png")
