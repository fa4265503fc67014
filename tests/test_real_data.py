"""Real images, volumes and tables, where SKVAE_DATA names their folder."""

import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from skvae import AAE, AE, VAE, Conv

MODELS = pytest.mark.parametrize("model", [AE, VAE, AAE])


@MODELS
def test_mnist_digits_can_be_read_from_the_code(model, shared_data):
    folder = shared_data / "mnist"
    raw = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[:3000]
    raw = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(raw, np.uint8, offset=8)[:3000]
    codes = model(10, max_iter=15, random_state=0).fit_transform(images)
    classifier = LogisticRegression(max_iter=5000)
    assert cross_val_score(classifier, codes, labels, cv=3).mean() > 0.8


@MODELS
def test_volumes_of_patients_reconstruct(model, shared_data):
    volumes = np.load(shared_data / "sts" / "sts_rois_32.npz")["mr"]
    volumes = volumes[:, ::2, ::2, ::2]
    architecture = Conv(channels=(4, 8, 16), dense=32, spatial_dims=3)
    fitted = model(
        8, architecture=architecture, batch_size=8, max_iter=40, random_state=0
    ).fit(volumes)
    back = fitted.reconstruct(volumes)
    assert back.shape == volumes.shape == (51, 16, 16, 16)
    residual = np.square(back - volumes).mean()
    assert residual < 0.7 * np.square(volumes - volumes.mean(axis=0)).mean()


@MODELS
def test_a_table_of_huge_values_trains_on_defaults(model, shared_data):
    table = pd.read_csv(shared_data / "sts" / "radiomics_features.csv")
    X = table.drop(columns=["patient_id", "lung_metastasis"])
    assert np.ptp(X.to_numpy()) > 1e11
    fitted = model(4, random_state=0).fit(X)
    residual = np.square(fitted.reconstruct(X) - X.to_numpy()).sum()
    assert residual < 0.01 * np.square(X - X.mean()).to_numpy().sum()


def test_slices_of_a_patient_stay_together(shared_data):
    data = np.load(shared_data / "sts" / "sts_mr_slices_64.npz")
    keep = data["patient"] <= 12
    images, patients = data["images"][keep] / 255, data["patient"][keep]
    pipeline = make_pipeline(
        VAE(8, architecture=Conv(channels=(4, 8)), max_iter=3, random_state=0),
        LogisticRegression(max_iter=5000),
    )
    scores = cross_val_score(
        pipeline,
        images,
        data["lung_metastasis"][keep],
        cv=GroupKFold(3),
        groups=patients,
    )
    assert np.isfinite(scores).all()
