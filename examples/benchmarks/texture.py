"""Features of regions next to pyradiomics' published values, and their speed.

Usage::

    SKVAE_DATA=... python examples/benchmarks/texture.py
"""

import os
import re
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK
from scipy.ndimage import gaussian_filter

from skvae import radiomics

GLCM = {
    "Autocorrelation": "autocorrelation",
    "ClusterProminence": "cluster_prominence",
    "ClusterShade": "cluster_shade",
    "ClusterTendency": "cluster_tendency",
    "Contrast": "contrast",
    "Correlation": "correlation",
    "DifferenceAverage": "difference_average",
    "DifferenceEntropy": "difference_entropy",
    "DifferenceVariance": "difference_variance",
    "Id": "inverse_difference",
    "Idm": "inverse_difference_moment",
    "Idmn": "normalised_inverse_difference_moment",
    "Idn": "normalised_inverse_difference",
    "Imc1": "information_correlation_1",
    "Imc2": "information_correlation_2",
    "InverseVariance": "inverse_variance",
    "JointAverage": "joint_average",
    "JointEnergy": "angular_second_moment",
    "JointEntropy": "joint_entropy",
    "MCC": "maximal_correlation_coefficient",
    "MaximumProbability": "joint_maximum",
    "SumAverage": "sum_average",
    "SumEntropy": "sum_entropy",
    "SumSquares": "joint_variance",
}
OTHERS = {
    "10Percentile": "percentile_10",
    "90Percentile": "percentile_90",
    "RootMeanSquared": "root_mean_square",
    "Maximum3DDiameter": "maximum_3d_diameter",
    "MeshVolume": "volume",
    "SurfaceVolumeRatio": "surface_to_volume_ratio",
    "VoxelVolume": "volume_voxel",
}
WORDS = {
    "gray": "grey",
    "(.*)_normalized": r"normalised_\1",
    "run_variance": "run_length_variance",
    "(small|large)_area": r"\1_zone",
    "size_zone": "zone_size",
    "zone_(variance|entropy)": r"zone_size_\1",
    "small_dependence": "low_dependence",
    "large_dependence": "high_dependence",
    "dependence_(non|variance|entropy)": r"dependence_count_\1",
    "^(low|high)_grey_level_emphasis": r"\1_grey_level_count_emphasis",
}
# pyradiomics' cases by the suffix of their name, and the settings that are ours.
SETTINGS = {
    "": {},
    "_2d": {"in_plane": True},
    "_FBN": {"bin_number": 64},
    "_combined": {"merge": True},
    "_flatRegion": {"bin_width": 5000},
    "_normalization": {"bin_width": 5},
    "_resegmentation": {},
}
FAMILIES = ["firstorder", "shape", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]


def our_name(name):
    """Return the name of a feature of pyradiomics in this package."""
    if name in GLCM | OTHERS:
        return (GLCM | OTHERS)[name]
    name = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()
    for word, ours in WORDS.items():
        name = re.sub(word, ours, name)
    return name


def published(folder, family, case):
    """Return the values of pyradiomics under our names, None if it has none."""
    path = folder / "baseline" / f"baseline_{family}.csv"
    table = pd.read_csv(path, index_col="featureName")
    if case not in table:
        return None
    values = table[case].filter(like=f"original_{family}_").astype(float)
    return values.rename(lambda name: our_name(name.split("_")[-1])).to_dict()


def read(folder, case, suffix=""):
    """Return image, mask and spacing of a case, prepared as its suffix says."""
    paths = (folder / f"{case}_{kind}.nrrd" for kind in ("image", "label"))
    image, label = map(SimpleITK.ReadImage, paths)
    array, mask = (
        SimpleITK.GetArrayFromImage(image),
        SimpleITK.GetArrayFromImage(label) == 1,
    )
    if suffix == "_normalization":
        array = 100 * SimpleITK.GetArrayFromImage(SimpleITK.Normalize(image))
    if suffix == "_resegmentation":
        inside = array[mask]
        mask = mask & (np.abs(array - inside.mean()) <= 3 * inside.std())
    return array, mask, image.GetSpacing()[::-1]


def ours(family, region, suffix):
    if family == "shape":
        return _as_pyradiomics(radiomics.shape(*region), region)
    if family == "firstorder":
        # The published values of the plain cases have voxelArrayShift=2000.
        histogram = radiomics.intensity_histogram(*region, **SETTINGS[suffix])
        return histogram | _first_order(*region, shift=0 if suffix else 2000)
    return getattr(radiomics, family)(*region, **SETTINGS[suffix])


def _first_order(image, mask, spacing, shift):
    features = radiomics.first_order(image, mask, spacing)
    features["kurtosis"] += 3
    shifted = radiomics.first_order(image + shift, mask, spacing)
    features |= {name: shifted[name] for name in ("energy", "root_mean_square")}
    features["total_energy"] = features["energy"] * np.prod(spacing)
    return features


def _as_pyradiomics(features, region):
    """Take the covariance of the population for axes, where IBSI takes the sample's."""
    n = region[1].sum()
    axes = [name for name in features if name.endswith("_axis_length")]
    return features | {name: features[name] * np.sqrt((n - 1) / n) for name in axes}


def agreement(folder):
    """Print the values that are not within 1e-6, and how many are."""
    rows = []
    for suffix in SETTINGS:
        for case in ("brain1", "brain2", "breast1"):
            region = read(folder, case, suffix)
            for family in FAMILIES:
                expected = published(folder, family, case + suffix)
                found = ours(family, region, suffix) if expected else {}
                for name, value in (expected or {}).items():
                    own = found.get(name, np.nan)
                    agrees = np.isclose(own, value, rtol=1e-6, atol=1e-12)
                    rows.append((family, case + suffix, name, value, own, agrees))
    columns = ["family", "case", "feature", "pyradiomics", "skvae", "agrees"]
    table = pd.DataFrame(rows, columns=columns)
    print(table[~table["agrees"]].drop(columns="agrees").to_string(index=False))
    counts = table.groupby("family", sort=False)["agrees"].agg(["sum", "size"])
    print(counts, f"all: {table['agrees'].sum()} of {len(table)}", sep="\n")


def tumour():
    """Return an ellipsoid of about 57,000 voxels in smooth noise."""
    noise = np.random.RandomState(0).normal(size=(34, 64, 64))
    grid = np.indices(noise.shape) - np.array([17, 32, 32]).reshape(3, 1, 1, 1)
    axes = np.array([15, 30, 30]).reshape(3, 1, 1, 1)
    mask = np.square(grid / axes).sum(axis=0) <= 1
    return 400 * gaussian_filter(noise, 1), mask, (1.0, 1.0, 1.0)


def fastrad(family, image, mask, spacing):
    import torch
    from fastrad import FeatureExtractor, FeatureSettings, Mask, MedicalImage

    settings = FeatureSettings([family], bin_width=25.0, device="cpu")
    arrays = torch.tensor(image), torch.tensor(mask)
    return FeatureExtractor(settings).extract(
        MedicalImage(arrays[0], spacing), Mask(arrays[1], spacing)
    )


def speed(n_repeats=5):
    """Print the seconds per tumour, next to fastrad where it is installed."""
    region = tumour()
    for family in FAMILIES[2:]:
        jobs = {
            "skvae": getattr(radiomics, family),
            "fastrad": partial(fastrad, family),
        }
        print(
            family,
            {name: _seconds(job, region, n_repeats) for name, job in jobs.items()},
        )


def _seconds(job, region, n_repeats):
    times = []
    for _ in range(n_repeats):
        start = time.perf_counter()
        try:
            job(*region)
        except ImportError:
            return None
        times.append(time.perf_counter() - start)
    return round(float(np.median(times)), 3)


if __name__ == "__main__":
    agreement(Path(os.environ["SKVAE_DATA"], "pyradiomics_cases"))
    speed()
