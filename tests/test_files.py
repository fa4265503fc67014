"""Files of fitted estimators: what comes back, what is refused, what old ones give."""

import hashlib
import io
import json
import warnings
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np
import pytest
import sklearn
import torch
from cases import MODELS
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

import skvae
from skvae import AAE, AE, MLP, VAE, Conv, Discriminator, WatermarkAE
from skvae.hashing import SemanticHasher
from skvae.impute import AutoencoderImputer
from skvae.model_selection import StackedGridSearchCV
from skvae.nn import Gaussian, GaussianMixture, Masking
from skvae.outlier import ReconstructionOutlierDetector
from skvae.preprocessing import SquashingScaler

TINY = {"architecture": MLP((4,)), "max_iter": 2, "random_state": 0}
OLD = sorted(Path(__file__).with_name("files").glob("*/*.skvae"))


class Square:
    """An architecture of the user's own."""

    def encoder(self, sample_shape):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8))

    def decoder(self, n_inputs, sample_shape):
        layers = torch.nn.Linear(n_inputs, 64), torch.nn.Unflatten(1, (8, 8))
        return torch.nn.Sequential(*layers)


def is_older(version, other):
    """Tell whether a version is older than another, by its first two numbers."""
    one, other = (tuple(map(int, v.split(".")[:2])) for v in (version, other))
    return one < other


def tiny_one(model):
    """Return a model whose networks are as small as may be."""
    parts = {"discriminator": Discriminator((4,))}
    return model(**TINY, **{k: v for k, v in parts.items() if hasattr(model(), k)})


def fitted_on(digits):
    """Yield a name, a fitted estimator and the method that its files must keep."""
    X, y = digits[0].reshape(300, 64), digits[1]
    steps = StandardScaler(), VAE(3, **TINY)
    search = {"vae__n_components": [2, 3]}
    kinds = {
        **{name: (tiny_one(model), None) for name, (model, _) in MODELS.items()},
        "objects": (
            AAE(
                3,
                prior=GaussianMixture(),
                likelihood=Gaussian(scale="feature"),
                corruption=Masking(0.1),
                discriminator=Discriminator((4,), spectral_norm=True),
                layer=["z", "encoder.1"],
                **TINY,
            ),
            None,
        ),
        "conv": (
            VAE(image_shape=(1, 8, 8), **TINY | {"architecture": Conv((4,), dense=4)}),
            None,
        ),
        "outliers": (
            ReconstructionOutlierDetector(AE(**TINY), cv=2, random_state=0),
            "score_samples",
        ),
        "imputer": (AutoencoderImputer(VAE(**TINY), random_state=0), None),
        "hasher": (SemanticHasher(AE(**TINY), 4), None),
        "squashed": (SquashingScaler(), None),
        "union": (make_union(VAE(**TINY), PCA(2)), None),
        "forest": (
            make_pipeline(*steps, RandomForestClassifier(3, random_state=0)),
            "predict_proba",
        ),
        "grid": (
            GridSearchCV(
                make_pipeline(*steps, LogisticRegression()),
                search,
                cv=StratifiedKFold(2),
                scoring="accuracy",
            ),
            "predict_proba",
        ),
        "stacked": (
            StackedGridSearchCV(
                make_pipeline(*steps, LogisticRegression()), search, cv=2
            ),
            "predict_proba",
        ),
    }
    bits = np.arange(4) < (np.arange(300) % 5)[:, None]
    yield "watermark", WatermarkAE(3, **TINY).fit(X, bits), "reconstruct", X
    for name, (estimator, method) in kinds.items():
        yield name, estimator.fit(X, y), method or "transform", X


def rewritten(path, change, *, sums=True):
    """Change members of a file, and its checksums like one who wants to deceive."""
    with ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("skvae.json"))
    change(members, manifest)
    if sums:
        manifest["sha256"] = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in members.items()
        }
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in {**members, "skvae.json": json.dumps(manifest)}.items():
            archive.writestr(name, content)


@pytest.fixture
def tiny(digits, tmp_path):
    """A fitted VAE, and its file."""
    vae = VAE(2, **TINY).fit(digits[0])
    skvae.save(vae, tmp_path / "vae.skvae")
    return vae, tmp_path / "vae.skvae"


def test_every_estimator_comes_back_with_equal_outputs(digits, tmp_path):
    for name, estimator, method, X in fitted_on(digits):
        path = tmp_path / f"{name}.skvae"
        skvae.save(estimator, path)
        expected, found = (
            getattr(model, method)(X) for model in (estimator, skvae.load(path))
        )
        assert_array_equal(found, expected, err_msg=name)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_default_model_takes_less_than_400_kilobytes(digits, tmp_path):
    vae = VAE(4, max_iter=1, random_state=0).fit(digits[0])
    for optimizer, limit in [(False, 400_000), (True, 1_300_000)]:
        skvae.save(vae, tmp_path / "vae.skvae", optimizer=optimizer)
        assert (tmp_path / "vae.skvae").stat().st_size < limit


def test_training_goes_on_only_with_what_optimizers_remember(digits, tiny):
    (X, _), (vae, path) = digits, tiny
    warm = skvae.load(path).set_params(warm_start=True)
    for go_on in (skvae.load(path).partial_fit, warm.fit):
        with pytest.raises(ValueError, match="saved without what its optimizers"):
            go_on(X)
    again = skvae.load(path)
    skvae.save(again, path)  # once more, though it has none
    assert_array_equal(skvae.load(path).fit(X).transform(X), vae.transform(X))
    skvae.save(vae, path, optimizer=True)
    found = skvae.load(path).partial_fit(X).transform(X)
    assert_array_equal(found, vae.partial_fit(X).transform(X))


def test_a_type_of_the_users_own_is_asked_for_by_name(digits, tmp_path):
    X, path = digits[0], tmp_path / "ae.skvae"
    ae = AE(2, architecture=Square(), max_iter=1, random_state=0).fit(X)
    skvae.save(ae, path)
    name = f"{Square.__module__}.Square"
    with pytest.raises(ValueError, match=f"asks for types .*: {name}"):
        skvae.load(path)
    for trusted in ([name], [Square]):
        found = skvae.load(path, trusted=trusted).transform(X)
        assert_array_equal(found, ae.transform(X))


def test_what_needs_a_pickle_is_refused_and_the_old_file_stays(digits, tiny):
    _, path = tiny
    before = path.read_bytes()
    modules = Square().encoder((8, 8)), Square().decoder(8, (8, 8))
    for options in ({"architecture": modules}, {"corruption": lambda X, rng: X}):
        ae = AE(8, **TINY | options).fit(digits[0])
        with pytest.raises(ValueError, match="AE holds a part that can't be written"):
            skvae.save(ae, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def damaged(content, kind, rng):
    """Change the bytes of a file in one of six ways, at a random place."""
    place, n = rng.integers(len(content)), rng.integers(1, 50)
    if kind == "flip":
        content = content.copy()
        content[place] ^= n
        return content
    if kind == "cut":
        return content[:place]
    if kind == "delete":
        return np.delete(content, slice(place, place + n))
    if kind == "insert":
        return np.insert(content, place, rng.integers(256, size=n, dtype=np.uint8))
    if kind == "shift":
        return np.concatenate([content[:place], np.roll(content[place:], n)])
    return rng.permutation(content[: 10 * n])


@pytest.mark.parametrize(
    "kind", ["flip", "cut", "delete", "insert", "shift", "shuffle"]
)
def test_a_damaged_file_never_gives_other_weights(kind, digits, tiny):
    (X, _), (vae, path) = digits, tiny
    content, expected = np.frombuffer(path.read_bytes(), np.uint8), vae.transform(X)
    rng, n_refused = np.random.default_rng(0), 0
    for _ in range(200):
        path.write_bytes(damaged(content, kind, rng).tobytes())
        try:
            found = skvae.load(path)
        except ValueError:
            n_refused += 1
        else:
            assert_array_equal(found.transform(X), expected)
    assert n_refused > 150


def test_members_that_were_changed_are_refused(tiny):
    _, path = tiny
    for change in (
        lambda members, _: members.update({"extra.npy": b""}),
        lambda members, _: members.update({"schema.json": b"{}"}),
        lambda members, _: members.pop(next(n for n in members if n.endswith(".npy"))),
        lambda _, manifest: manifest["sha256"].popitem(),
    ):
        before = path.read_bytes()
        rewritten(path, change, sums=False)
        with pytest.raises(ValueError, match="is damaged: this is not"):
            skvae.load(path)
        path.write_bytes(before)
    content = path.read_bytes()
    with warnings.catch_warnings(), ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("schema.json", "{}")
    with pytest.raises(ValueError, match="two members have one name") as caught:
        skvae.load(path)
    assert isinstance(caught.value.__cause__, BadZipFile)
    path.write_bytes(content)


def test_a_hostile_file_is_refused_before_it_runs(tiny, tmp_path):
    _, path = tiny
    marker = tmp_path / "ran"

    def call_a_command(members, _):
        schema = json.loads(members["schema.json"])
        function = {"__class__": "system", "__module__": "os"}
        function["__loader__"] = "FunctionNode"
        arguments = {"__class__": "tuple", "__module__": "builtins"}
        arguments |= {"__loader__": "TupleNode", "content": []}
        arguments["content"] = [
            {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"}
            | {"content": json.dumps(f"touch {marker}"), "is_json": True}
        ]
        partial = {"__class__": "partial", "__module__": "functools"}
        partial |= {"__loader__": "PartialNode"}
        empty = {"__class__": "dict", "__module__": "builtins", "content": {}}
        empty |= {"__loader__": "DictNode", "key_types": arguments | {"content": []}}
        partial["content"] = {"func": function, "args": arguments, "kwds": empty}
        partial["content"]["namespace"] = empty
        schema["content"]["content"]["layer"] = partial
        members["schema.json"] = json.dumps(schema).encode()

    rewritten(path, call_a_command)
    with pytest.raises(ValueError, match=r"not known to be safe: .*(os|posix)\.system"):
        skvae.load(path)
    assert not marker.exists()


def test_other_files_and_newer_formats_say_what_they_are(tiny, tmp_path):
    _, path = tiny
    rewritten(path, lambda _, manifest: manifest.update(format=99))
    with pytest.raises(ValueError, match=r"does not know\. Install skvae"):
        skvae.load(path)
    path.write_bytes(b"\x80\x04no zip")
    with pytest.raises(ValueError, match=r"damaged, or was not written by skvae\.save"):
        skvae.load(path)
    with ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
    with pytest.raises(ValueError, match=r"not written by skvae\.save"):
        skvae.load(path)
    with pytest.raises(FileNotFoundError):
        skvae.load(tmp_path / "none.skvae")
    with pytest.raises(FileNotFoundError):
        skvae.save(VAE(), tmp_path / "no folder" / "vae.skvae")


@pytest.mark.parametrize("field", ["left_child", "right_child", "feature"])
def test_a_tree_that_points_outside_of_itself_is_refused(field, digits, tmp_path):
    X, y = digits[0].reshape(300, 64), digits[1]
    path = tmp_path / "forest.skvae"
    skvae.save(RandomForestClassifier(2, random_state=0).fit(X, y), path)

    def point_outside(members, _):
        for name, content in members.items():
            array = np.load(io.BytesIO(content)) if name.endswith(".npy") else None
            if array is not None and array.dtype.names:
                array[field][0] = 1_000_000
                buffer = io.BytesIO()
                np.save(buffer, array)
                members[name] = buffer.getvalue()

    rewritten(path, point_outside)
    with pytest.raises(ValueError, match=r"a tree (points to nodes|asks for features)"):
        skvae.load(path)


def test_a_file_of_a_missing_device_opens_on_the_cpu(digits, tiny):
    (X, _), (vae, path) = digits, tiny

    def change_device(members, _):
        old, new = json.dumps(json.dumps("cpu")), json.dumps(json.dumps("cuda:77"))
        assert old.encode() in members["schema.json"]
        members["schema.json"] = members["schema.json"].replace(
            old.encode(), new.encode()
        )

    rewritten(path, change_device)
    with pytest.warns(UserWarning, match="fitted on 'cuda:77'.* loaded on the CPU"):
        moved = skvae.load(path)
    assert_array_equal(moved.transform(X), vae.transform(X))


def test_there_are_files_of_earlier_versions():
    assert len(OLD) >= len(MODELS)


@pytest.mark.parametrize("path", OLD, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_files_of_earlier_versions_give_what_they_gave(path):
    with ZipFile(path) as file:
        written_by = json.loads(file.read("skvae.json"))["versions"]["scikit-learn"]
    if path.stem in {"grid", "stacked"} and is_older(sklearn.__version__, written_by):
        pytest.skip("an older scikit-learn does not know all parts of its estimators")
    with np.load(path.with_suffix(".npz")) as arrays:
        X, expected, method = arrays["X"], arrays["expected"], str(arrays["method"])
    with warnings.catch_warnings():  # of another version of scikit-learn
        warnings.simplefilter("ignore")
        estimator = skvae.load(path)
    assert_allclose(getattr(estimator, method)(X), expected, rtol=1e-4, atol=1e-5)
