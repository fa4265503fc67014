import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from torch import nn

from skvae import (
    AE,
    MLP,
    VAE,
    AAEClassifier,
    AAEClusterer,
    Conv,
    ResNet,
    SupervisedAAE,
    WatermarkAE,
)
from skvae._engine.build import inference_batch
from skvae.architectures import ARCHITECTURES

SHAPES = [(5,), (1,), (28, 28), (7, 9), (3, 7, 9), (17, 30, 23), (2, 5, 7, 6)]
CONVOLUTIONS = [
    Conv(channels=(3, 4), dense=8),
    Conv(channels=(3, 4), dense=None, kernel_size=2),
    Conv(channels=(3, 4), dense=(8, 4), kernel_size=4),
    Conv(channels=(3, 4), dense=8, kernel_size=1),
    Conv(channels=(3, 4), dense=8, downsample="max_pool", kernel_size=2),
    Conv(channels=(3, 4), dense=8, downsample="avg_pool", dropout=0.1),
    ResNet(channels=(3, 4), dense=8, n_blocks=2),
    ResNet(channels=(8, 16), dense=8, downsample="max_pool", kernel_size=2),
]


def shapes_of(network, kind):
    return [tuple(m.weight.shape) for m in network.modules() if isinstance(m, kind)]


@pytest.mark.filterwarnings("ignore:Convolutions take each row")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "architecture", [MLP(), MLP(()), MLP(init="pca"), *CONVOLUTIONS], ids=str
)
def test_samples_of_any_shape_decode_to_their_own(architecture, shape):
    X = np.random.default_rng(0).random((5, *shape)).astype(np.float32)
    model = AE(2, architecture=architecture, max_iter=1, random_state=0).fit(X)
    assert model.reconstruct(X).shape == X.shape
    assert model.sample(2).shape == (2, *shape)


@pytest.mark.parametrize("hidden", [(), (16,)])
@pytest.mark.parametrize("options", [{}, {"ordered": True}, {"missing_values": "mask"}])
def test_networks_begin_as_pca(hidden, options, digits):
    X = digits[0].reshape(-1, 64)
    pca = PCA(6).fit(X)
    architecture = MLP(hidden, init="pca")
    untrained = {"learning_rate": 1e-12, "max_iter": 1, "random_state": 0}
    ae = AE(6, architecture=architecture, **untrained, **options).fit(X)
    assert_allclose(ae.transform(X).std(axis=0), 1, rtol=1e-4)
    expected = pca.inverse_transform(pca.transform(X))
    assert_allclose(ae.reconstruct(X), expected, atol=1e-4)
    vae = VAE(6, architecture=architecture, **untrained, **options).fit(X)
    if not options:  # the bound is tight for linear decoders (Tipping and Bishop 1999)
        assert vae.score(X) == pytest.approx(pca.score(X), abs=0.05)


def test_networks_that_begin_as_pca_go_on_to_learn(digits):
    X = digits[0].reshape(-1, 64)
    pca = PCA(4).fit(X[:150])
    architecture = MLP((32,), init="pca")
    ae = AE(4, architecture=architecture, batch_size=32, max_iter=50, random_state=0)
    errors = [
        np.square(decoded - X[150:]).mean()
        for decoded in (
            ae.fit(X[:150]).reconstruct(X[150:]),
            pca.inverse_transform(pca.transform(X[150:])),
        )
    ]
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize(
    "model", [SupervisedAAE, AAEClassifier, AAEClusterer, WatermarkAE], ids=str
)
def test_every_model_can_begin_as_pca(model, digits):
    X, y = digits
    y = y > 4 if model is not WatermarkAE else np.eye(2, dtype=int)[y % 2]
    options = {"architecture": MLP((8,), init="pca"), "max_iter": 2, "random_state": 0}
    fitted = model(n_components=3, **options).fit(X, y)
    assert np.isfinite(fitted.reconstruct(X)).all()


def test_constant_data_begin_as_pca():
    ae = AE(2, architecture=MLP(init="pca"), max_iter=2, random_state=0)
    for X in (np.ones((20, 4)), np.ones((1, 4))):
        assert np.isfinite(ae.fit(X).transform(X)).all()


def test_fewer_samples_than_components_begin_as_pca(digits):
    X, _ = digits
    few = AE(8, architecture=MLP(init="pca"), max_iter=2, random_state=0).fit(X[:5])
    assert np.isfinite(few.transform(X)).all()


def test_spatial_dims_says_how_to_read_a_shape():
    X = np.zeros((4, 6, 10, 8), dtype=np.float32)
    for spatial_dims, kind in [(None, nn.Conv2d), (2, nn.Conv2d), (3, nn.Conv3d)]:
        architecture = Conv(channels=(4,), spatial_dims=spatial_dims)
        model = AE(2, architecture=architecture, max_iter=1, random_state=0).fit(X)
        n_channels = 1 if kind is nn.Conv3d else 6
        assert shapes_of(model.module_.encoder, kind)[0][:2] == (4, n_channels)
    with pytest.raises(ValueError, match="Pass `image_shape` or set `spatial_dims`"):
        AE(architecture=Conv(spatial_dims=1)).fit(X)
    with pytest.raises(ValueError, match="1 to 3 space axes"):
        AE(architecture="conv").fit(X[..., None, None])


def test_conv_expresses_the_ct_encoder():
    architecture = Conv(
        channels=(16, 32, 64, 32, 16),
        kernel_size=2,
        downsample="max_pool",
        dense=256,
        activation="relu",
    )
    encoder = architecture.encoder((1, 32, 256, 256))
    filters = [shape[:2] for shape in shapes_of(encoder, nn.Conv3d)]
    assert filters == [(16, 1), (32, 16), (64, 32), (32, 64), (16, 32)]
    assert all(shape[2:] == (2, 2, 2) for shape in shapes_of(encoder, nn.Conv3d))
    assert sum(isinstance(m, nn.MaxPool3d) for m in encoder) == 5
    assert shapes_of(encoder, nn.Linear) == [(256, 16 * 1 * 8 * 8)]
    shape = (1, 32, 256, 256)
    with torch.no_grad():
        code = architecture.encoder(shape)(torch.zeros(1, *shape))
        volume = architecture.decoder(32, shape)(torch.zeros(1, 32))
    assert code.shape == (1, 256)
    assert volume.shape == (1, *shape)


def test_even_kernels_pad_to_the_same_size():
    with torch.no_grad():
        pad, convolution = Conv(
            channels=(4,), kernel_size=2, downsample="max_pool", dense=None
        ).encoder((1, 6, 6))[:2]
        reference = nn.Conv2d(1, 4, 2, padding="same")
        reference.load_state_dict(convolution.state_dict())
        X = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
        with pytest.warns(UserWarning, match="even kernel"):
            expected = reference(X)
        torch.testing.assert_close(convolution(pad(X)), expected)


def test_conv_expresses_the_classic_convolutional_vae():
    encoder = Conv(channels=(32, 64), dense=16, activation="relu").encoder((1, 28, 28))
    assert shapes_of(encoder, nn.Conv2d) == [(32, 1, 3, 3), (64, 32, 3, 3)]
    assert [m.stride for m in encoder if isinstance(m, nn.Conv2d)] == [(2, 2)] * 2
    assert shapes_of(encoder, nn.Linear) == [(16, 64 * 7 * 7)]
    decoder = Conv(channels=(32, 64), dense=16).decoder(2, (1, 28, 28))
    assert shapes_of(decoder, nn.ConvTranspose2d) == [(64, 32, 3, 3), (32, 1, 3, 3)]


def test_residual_blocks_do_not_tie_samples_together(digits):
    X, _ = digits
    network = ResNet().encoder((8, 8)).train()
    batch = torch.from_numpy(X[:6])
    alone = torch.cat([network(sample[None]) for sample in batch])
    torch.testing.assert_close(network(batch), alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (MLP(hidden_layer_sizes=(0,)), "`hidden_layer_sizes` must hold ints >= 1"),
        (MLP(activation="swish"), "The 'activation' parameter of MLP must be a str"),
        (MLP(dropout=1.0), "The 'dropout' parameter of MLP"),
        (Conv(channels=(8, 2.5)), "`channels` must hold ints >= 1"),
        (Conv(dense=(0,)), "`dense` must hold ints >= 1"),
        (Conv(downsample="none"), "The 'downsample' parameter of Conv"),
        (Conv(spatial_dims=4), "The 'spatial_dims' parameter of Conv must be"),
        (ResNet(n_blocks=0), "The 'n_blocks' parameter of ResNet"),
        ((nn.Linear(64, 8),), r"pair \(encoder, decoder\)"),
        (("mlp", "mlp"), r"pair \(encoder, decoder\) of torch.nn.Module, got \('mlp'"),
        (Conv, r"must be an instance, got the class Conv. Write Conv\(\)."),
        ((nn.Linear(64, 8), nn.Linear(10, 63)), "must return samples of shape"),
        (
            (nn.Linear(63, 8), nn.Linear(10, 64)),
            r"encoder of `architecture` must take samples of shape \(64,\): mat1 and",
        ),
        (
            (nn.Conv2d(1, 2, 3), nn.Linear(10, 64)),
            r"encoder .* must take samples of shape \(64,\): Expected 3D .* or 4D",
        ),
        (
            (nn.Linear(64, 8), nn.Linear(9, 64)),
            r"decoder .* must take inputs of shape \(10,\), the code: mat1 and",
        ),
        ((nn.GRU(8, 8), nn.Linear(10, 64)), "must return one tensor"),
    ],
)
def test_wrong_architectures_name_the_rule(architecture, message, digits):
    X, _ = digits
    model = AE(architecture=architecture)
    with pytest.raises(ValueError, match=message):
        model.fit(X.reshape(300, 64) if message != "must return one tensor" else X)
    assert not hasattr(model, "module_")


def test_inference_batches_of_volumes_stay_small():
    assert inference_batch((1, 32, 256, 256)) == (2, 1)
    assert inference_batch((1, 32, 32, 32)) == (128, 8)
    assert inference_batch((28, 28)) == (128, 64)


class Recurrent(nn.Module):
    """A GRU over the rows of an image, whose dropout draws from the global state."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(8, 16, batch_first=True)
        self.drop = nn.Dropout(0.2)

    def forward(self, X):
        outputs, _ = self.gru(X)
        return self.drop(outputs[:, -1])


def pair(n_components=4):
    torch.manual_seed(0)
    decoder = nn.Sequential(
        nn.Linear(n_components, 64), nn.Tanh(), nn.Unflatten(1, (8, 8))
    )
    return Recurrent(), decoder


@pytest.mark.parametrize("model", [AE, VAE])
@pytest.mark.filterwarnings("ignore::skvae.PosteriorCollapseWarning")
def test_plain_modules_train_and_stay_as_they_were(model, digits):
    X, _ = digits
    with torch.random.fork_rng():
        architecture = pair()
        before = [p.clone() for module in architecture for p in module.parameters()]
        state = torch.get_rng_state()
        model = model(4, architecture=architecture, max_iter=5, random_state=0)
        fitted = clone(model).fit(X)
        assert_array_equal(torch.get_rng_state(), state)
    after = [p for module in architecture for p in module.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert fitted.layer_names_["encoder.gru"] == (8, 16)
    assert fitted.set_params(layer="encoder.gru").transform(X).shape == (300, 128)
    resumed = clone(model).set_params(max_iter=3).fit(X).partial_fit(X).partial_fit(X)
    assert_array_equal(resumed.loss_curve_, fitted.loss_curve_)


class Custom:
    """The least that an architecture needs."""

    def encoder(self, sample_shape):
        return nn.Sequential(nn.Flatten(), nn.Linear(np.prod(sample_shape), 12))

    def decoder(self, n_inputs, sample_shape):
        return nn.Sequential(
            nn.Linear(n_inputs, np.prod(sample_shape)), nn.Unflatten(1, sample_shape)
        )


def test_an_object_of_ones_own_builds_the_networks(digits):
    X, _ = digits
    model = AE(3, architecture=Custom(), max_iter=2, random_state=0).fit(X)
    assert model.transform(X).shape == (300, 3)
    assert model.reconstruct(X).shape == X.shape
    whole = AE(3, architecture=Custom(), max_iter=3, random_state=0).fit(X)
    assert_array_equal(model.partial_fit(X).transform(X), whole.transform(X))


def test_one_module_may_hold_encoder_and_decoder(digits):
    X, _ = digits
    with torch.random.fork_rng():
        encoder, decoder = pair()
        whole = nn.Module()
        whole.encoder, whole.decoder = encoder, decoder
    codes = [
        AE(4, architecture=a, max_iter=1, random_state=0).fit_transform(X)
        for a in (whole, (encoder, decoder))
    ]
    assert_array_equal(*codes)


class InPlace(nn.Module):
    """Changes its input, as a careless module may."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 8)

    def forward(self, X):
        X = X.flatten(1)
        X -= 0.5
        return self.linear(X)


def test_modules_of_ones_own_never_see_the_data_themselves(digits):
    X = digits[0].copy()
    with torch.random.fork_rng():
        decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (8, 8)))
        model = AE(3, architecture=(InPlace(), decoder), likelihood="bernoulli")
    model.set_params(max_iter=2, random_state=0).fit(X[:200], X_val=X[200:])
    model.transform(X)
    model.score_samples(X)
    assert_array_equal(X, digits[0])


def test_batch_normalization_meets_no_single_sample(digits):
    X, _ = digits
    with torch.random.fork_rng():
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8))
        decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (8, 8)))
    model = AE(3, architecture=(encoder, decoder), max_iter=2, random_state=0)
    assert np.isfinite(model.fit(X[:129]).transform(X)).all()


class Pretrained(Custom):
    """Fits another model while its own networks are built."""

    def encoder(self, sample_shape):
        inner = AE(8, architecture=Custom(), max_iter=1, random_state=0)
        return inner.fit(np.zeros((4, *sample_shape))).module_.encoder


def test_models_may_be_built_within_models(digits):
    X, _ = digits
    model = AE(3, architecture=Pretrained(), max_iter=1, random_state=0).fit(X)
    assert model.transform(X).shape == (300, 3)


def test_dropout_is_active_in_training_only(digits):
    X, _ = digits
    losses = [
        AE(architecture=MLP(dropout=p), max_iter=1, random_state=0).fit(X).loss_curve_
        for p in (0.0, 0.5)
    ]
    assert losses[0] < losses[1]
    keep = AE(architecture=MLP(dropout=0.5), max_iter=1, random_state=0).fit(X)
    assert_array_equal(keep.transform(X), keep.transform(X))


def test_names_stand_for_the_defaults():
    assert set(ARCHITECTURES) == {"mlp", "conv", "resnet"}
    X = np.random.default_rng(0).random((20, 8, 8))
    for name, cls in ARCHITECTURES.items():
        codes = [
            AE(architecture=a, max_iter=1, random_state=0).fit_transform(X)
            for a in (name, cls())
        ]
        assert_array_equal(*codes)
