from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae.datasets import make_dicom_cohort
from skvae.dicom import VolumeLoader, label_volumes, scan, select_regions
from skvae.model_selection import evaluate
from skvae.plot import ROCBandDisplay
from skvae.radiomics import RegionFeatures

# With your archive: outcomes = pandas.read_csv(...), with columns "patient" and "label"
outcomes = make_dicom_cohort("archive", 40, random_state=0)
volumes = label_volumes(select_regions(scan("archive"), "tumour"), outcomes)
cubes = VolumeLoader(
    shape=(16,) * 3, spacing="fit", crop="mask", flatten=True, cache="cache"
)
latents = make_pipeline(cubes, skvae.VAE(4, max_iter=20, random_state=0))
hand_crafted = RegionFeatures(loader=VolumeLoader(cache="cache"))
models = {
    name: make_pipeline(features, StandardScaler(), LogisticRegression())
    for name, features in {"latents": latents, "hand-crafted": hand_crafted}.items()
}
scored = evaluate(models, volumes, volumes["label"], cv=3, n_repeats=2, random_state=0)
ROCBandDisplay.from_evaluation(scored).figure_.savefig("dicom.png")
pipeline = models["hand-crafted"].fit(volumes, volumes["label"])
skvae.save(pipeline, "dicom.skvae")
