"""
Draw new rows of a table
========================

A table of numbers, a 0/1 column and categories; all of it is synthetic. `TableEncoder`
makes numbers of it for a `VAE`, and turns what the `VAE` samples back into such a
table. A sampled row has real categories, and its columns hang together as those of the
given table do: the tumours of late stages are large, and old patients smoke less.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skvae import VAE
from skvae.preprocessing import TableEncoder

rng = np.random.default_rng(0)
n_patients = 1500
stage = rng.choice(["I", "II", "III"], n_patients, p=[0.5, 0.3, 0.2])
age = rng.normal(62, 11, n_patients)
mean_size = pd.Series({"I": 18, "II": 31, "III": 46})[stage].to_numpy()
table = pd.DataFrame(
    {
        "age": age,
        "size": mean_size + rng.normal(0, 6, n_patients),
        "smoker": rng.random(n_patients) < 1 / (1 + np.exp((age - 55) / 8)),
        "stage": stage,
    }
)

encoder = TableEncoder().fit(table)
vae = VAE(4, likelihood=encoder.likelihood_, max_iter=150, random_state=0)
vae.fit(encoder.transform(table))
rows = vae.sample(n_patients, noise=True, random_state=0)
sampled = encoder.inverse_transform(rows)
print(sampled.head().round(1))

# %%
tables = {"given": table, "sampled": sampled}
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
for offset, (name, some) in zip((-0.17, 0.17), tables.items(), strict=True):
    sizes = [some["size"][some["stage"] == level] for level in ("I", "II", "III")]
    color = {"given": "0.4", "sampled": "tab:orange"}[name]
    boxes = left.boxplot(
        sizes,
        positions=np.arange(3) + offset,
        widths=0.28,
        patch_artist=True,
        showfliers=False,
        medianprops={"color": "black"},
    )
    for box in boxes["boxes"]:
        box.set_facecolor(color)
    decade = some["age"] // 10 * 10 + 5
    smokers = some.groupby(decade)["smoker"].agg(["mean", "size"])
    smokers = smokers[smokers["size"] >= 20]
    error = 1.96 * np.sqrt(smokers["mean"] * (1 - smokers["mean"]) / smokers["size"])
    right.errorbar(
        smokers.index + 3 * offset,
        smokers["mean"],
        error,
        marker="o",
        capsize=3,
        color=color,
        label=name,
    )
left.set_xticks(range(3), ["I", "II", "III"])
left.set(xlabel="stage", ylabel="size [mm]")
right.set(xlabel="age [years]", ylabel="share of smokers", ylim=(-0.05, 1.05))
right.legend()

plt.show()
