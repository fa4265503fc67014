"""Tables and texts that a study hands in, and what headers say of its images."""

import json
import re
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skvae import MLP, VAE
from skvae.datasets import make_dicom_cohort, write_dicom_series
from skvae.dicom import VolumeLoader, acquisition, load_series, scan
from skvae.model_selection import GuardedSplit
from skvae.radiomics import RegionFeatures
from skvae.report import features_table, methods_text
from skvae.report._checklists import CLEAR, METRICS

NAME = "ZZPLANTED"
AFFINE = np.diag([2.0, 1, 1, 1])[[2, 1, 0, 3]]
UID = re.compile(r"\d+(\.\d+){4,}")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    y = make_dicom_cohort(root, 4, random_state=0)["label"].to_numpy()
    volumes = scan(root)
    return volumes.assign(problem=volumes["problem"].astype(object)), y


def regions():
    return RegionFeatures(["first_order"], loader=VolumeLoader())


@pytest.fixture(scope="module")
def both():
    cubes = VolumeLoader(
        spacing="fit", shape=(4, 4, 4), crop="mask", normalize="standard", flatten=True
    )
    vae = VAE(2, architecture=MLP((8,)), max_iter=1, random_state=0)
    union = FeatureUnion([("latents", make_pipeline(cubes, vae)), ("own", regions())])
    return make_pipeline(union, StandardScaler(), LogisticRegression(C=0.05))


@pytest.fixture(scope="module")
def fitted(both, cohort):
    return both.fit(*cohort)


# Headers


def header(tmp_path, name="series", edit=None, **attributes):
    array = np.zeros((2, 4, 4), np.int16)
    write_dicom_series(tmp_path / name, array, AFFINE, edit=edit, **attributes)
    return tmp_path / name


def test_acquisition_reads_what_a_paper_states(tmp_path):
    ct = header(
        tmp_path,
        modality="CT",
        Manufacturer="GE MEDICAL SYSTEMS",
        ManufacturerModelName="LightSpeed16",
        KVP="120",
        RescaleIntercept=0,
        RescaleSlope=1,
        ConvolutionKernel=["I30f", "3"],
        ContrastBolusAgent="Iomeprol",
    )
    (row,) = acquisition([ct]).to_dict("records")
    assert row["series"] == load_series(ct).provenance["series"]
    assert row["modality"] == "CT"
    assert (row["manufacturer"], row["model"]) == ("GE", "LightSpeed16")
    assert (row["kvp"], row["kernel"], row["contrast"]) == (120, "I30f/3", True)
    assert (row["pixel_spacing"], row["slice_thickness"]) == (1, 2)
    assert pd.isna(row["field_strength"])


@pytest.mark.parametrize(
    ("value", "tesla"), [("1.5", 1.5), ("15000", 1.5), ("0", None)]
)
def test_field_strength_is_in_tesla(tmp_path, value, tesla):
    found = acquisition([header(tmp_path, MagneticFieldStrength=value)])
    assert found["field_strength"].replace(np.nan, None)[0] == tesla


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SIEMENS", "Siemens"),
        ("Siemens Healthineers", "Siemens"),
        ("Philips Medical Systems / MIM Software", "Philips"),
        ("TOSHIBA_MEC", "Canon (Toshiba)"),
        ("Image systems", "other"),
        ("", None),
        ("UNKNOWN", None),
    ],
)
def test_vendors_have_one_name(tmp_path, text, name):
    found = acquisition([header(tmp_path, Manufacturer=text)])["manufacturer"]
    assert found.replace(np.nan, None)[0] == name


def test_acquisition_reads_functional_groups(tmp_path):
    def enhance(dataset, number):
        timing, echo, groups, frame = (Dataset() for _ in range(4))
        timing.RepetitionTime, echo.EffectiveEchoTime = 500, 30
        groups.MRTimingAndRelatedParametersSequence = [timing]
        frame.MREchoSequence = [echo]
        dataset.SharedFunctionalGroupsSequence = [groups]
        dataset.PerFrameFunctionalGroupsSequence = [frame]

    (row,) = acquisition([header(tmp_path, edit=enhance)]).to_dict("records")
    assert (row["repetition_time"], row["echo_time"]) == (500, 30)


def test_acquisition_keeps_the_index_and_skips_what_it_cannot_read(cohort, tmp_path):
    volumes = cohort[0][:2].set_axis(["a", "b"])
    found = acquisition(volumes)
    assert found.index.tolist() == ["a", "b"]
    assert found["modality"].tolist() == ["MR", "MR"]
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(b"\0" * 128 + b"DICM" + bytes(range(200)))
    assert acquisition([damaged, tmp_path / "none"]).isna().all(axis=None)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", f"{NAME}^Anna"),
        ("PatientID", NAME),
        ("ReferringPhysicianName", NAME),
        ("InstitutionName", f"{NAME} hospital"),
    ],
)
def test_texts_that_repeat_a_name_are_left_out(tmp_path, keyword, value):
    model = {"ManufacturerModelName": f"Scanner of {NAME.title()}"}
    found = acquisition([header(tmp_path, **{keyword: value}, **model)])
    assert found["model"].isna().all()
    assert acquisition([header(tmp_path, "other", **model)])["model"].notna().all()


# Table


def test_features_are_those_before_the_classifier(fitted, cohort):
    volumes, _ = cohort
    table = features_table(fitted, volumes)
    expected = fitted[:-1].transform(volumes)
    names = list(fitted[:-1].get_feature_names_out())
    assert list(table) == ["patient", "series", *names, "settings", "software"]
    np.testing.assert_array_equal(table[names], expected)
    assert table["patient"].tolist() == ["P1", "P2", "P3", "P4"]
    reported = VolumeLoader().report(volumes)["series"]
    assert table["series"].tolist() == [series for (series,) in reported]
    assert "scikit-learn" in table["software"][0]
    assert table["settings"].nunique() == 1


@pytest.mark.parametrize(
    "pipeline",
    [
        regions(),
        make_pipeline(regions(), PCA(2)),
        FeatureUnion([("own", regions()), ("again", regions())]),
        make_pipeline(regions().set_output(transform="pandas"), LogisticRegression()),
        make_pipeline(
            regions(), FunctionTransformer(lambda X: X[:, :2]), LogisticRegression()
        ),
        GridSearchCV(
            Pipeline([("own", regions()), ("last", LogisticRegression())]),
            {"last__C": [1]},
            cv=2,
        ),
    ],
    ids=["transformer", "pipeline", "union", "pandas", "unnamed", "search"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_features_of_all_kinds_of_pipelines(pipeline, cohort):
    volumes, y = cohort
    table = features_table(pipeline.fit(volumes, y), volumes)
    assert table.shape[0] == 4
    assert table.shape[1] > 5
    assert table.iloc[:, 2:-2].to_numpy().dtype == float
    assert np.isfinite(table.iloc[:, 2:-2].to_numpy()).all()


def test_columns_of_the_table_can_be_passed_through(cohort):
    volumes, _ = cohort
    volumes = volumes.assign(age=np.arange(4))
    branches = [("own", regions(), list(volumes)), ("clinic", "passthrough", ["age"])]
    table = features_table(ColumnTransformer(branches).fit(volumes), volumes)
    assert table["clinic__age"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("patient_id", r"\['clinic__patient_id'\] tell who a patient is"),
        ("kind", "'clinic__kind' must be a number"),
    ],
)
def test_what_is_no_feature_is_an_error(cohort, column, message):
    volumes = cohort[0].assign(kind="a")
    pipeline = ColumnTransformer([("clinic", "passthrough", [column])]).fit(volumes)
    with pytest.raises(ValueError, match=message):
        features_table(pipeline, volumes)


def test_pseudonyms_number_patients_or_depend_on_a_key(cohort):
    volumes = cohort[0].iloc[[3, 1, 3]]
    own = regions().fit(volumes)
    assert features_table(own, volumes)["patient"].tolist() == ["P1", "P2", "P1"]
    keyed = features_table(own, volumes, key="k" * 16)["patient"]
    alone = features_table(own, volumes[:1], key="k" * 16)["patient"]
    other = features_table(own, volumes[:1], key=b"l" * 16)["patient"]
    assert keyed[0] == keyed[2] == alone[0] != other[0]
    assert keyed[0] != keyed[1]
    assert re.fullmatch("P[0-9a-f]{12}", keyed[0])
    with pytest.raises(ValueError, match="16 characters at least"):
        features_table(own, volumes, key="secret")


def test_cases_of_several_channels_have_several_series(cohort):
    volumes, _ = cohort
    rows = [row for _, row in volumes.iterrows()]
    loader = VolumeLoader(channels=("t1", "t2"))
    cases = [{"t1": row, "t2": row, "mask": row["masks"][0]} for row in rows[:2]]
    table = features_table(RegionFeatures("first_order", loader).fit(cases), cases)
    assert table["patient"].tolist() == ["P1", "P2"]
    single = features_table(regions().fit(volumes), volumes)["series"]
    assert table["series"][0] == f"{single[0]} {single[0]}"


def test_a_case_that_cannot_be_read_is_a_row_without_features(cohort):
    volumes = cohort[0].copy()
    volumes.at[volumes.index[2], "masks"] = ()
    loader = VolumeLoader(crop="mask", on_error="nan")
    pipeline = RegionFeatures("first_order", loader).fit(volumes)
    with pytest.warns(UserWarning, match="1 of 4 cases"):
        table = features_table(pipeline, volumes)
    assert table.isna().any(axis=1).tolist() == [False, False, True, False]


def test_the_file_can_be_read_without_this_package(fitted, cohort, tmp_path):
    table = features_table(fitted, cohort[0], path=tmp_path / "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table)
    about = json.loads((tmp_path / "table.json").read_text())
    assert list(about["columns"]) == list(table)
    loader = about["settings"]["steps"][0][1]["transformer_list"][0][1]["steps"][0][1]
    assert loader["class"] == "VolumeLoader"
    assert loader["shape"] == [4, 4, 4]
    assert about == table.attrs
    assert {"skvae", "torch", "scikit-learn"} <= set(about["versions"])


def test_the_table_goes_to_parquet(cohort, tmp_path):
    pytest.importorskip("pyarrow", reason="pandas writes parquet by pyarrow")
    volumes, _ = cohort
    path = tmp_path / "table.parquet"
    table = features_table(regions().fit(volumes), volumes, path=path)
    back = pd.read_parquet(path)
    assert back.to_dict("list") == table.to_dict("list")


def test_the_hash_of_settings_follows_the_settings(cohort):
    volumes, _ = cohort
    hashes = [
        features_table(RegionFeatures("first_order", loader).fit(volumes), volumes)
        for loader in (
            VolumeLoader(),
            VolumeLoader(n_jobs=1),
            VolumeLoader(spacing=2),
        )
    ]
    first, same, other = (table["settings"][0] for table in hashes)
    assert first == same != other


@pytest.mark.parametrize(
    ("pipeline", "options", "error", "message"),
    [
        (LogisticRegression(), {}, ValueError, "a transformer, or a pipeline with one"),
        (regions(), {"path": "a.xls"}, ValueError, "'.csv' or '.parquet', got '.xls'"),
        (VolumeLoader(), {}, ValueError, r"one row per case, got .* \(4, 1, 16, 48"),
    ],
)
def test_errors_of_tables_name_the_way_out(cohort, pipeline, options, error, message):
    volumes, y = cohort
    if isinstance(pipeline, LogisticRegression):
        pipeline.fit(np.arange(4)[:, None], y)
    else:
        pipeline.fit(volumes)
    with pytest.raises(error, match=message):
        features_table(pipeline, volumes, **options)


def test_a_table_needs_a_fitted_pipeline_and_patients(cohort):
    volumes, _ = cohort
    for pipeline in (regions(), GridSearchCV(regions(), {}, scoring="r2")):
        with pytest.raises(NotFittedError):
            features_table(pipeline, volumes)
    with pytest.raises(ValueError, match="patient_id"):
        features_table(regions().fit(volumes), volumes.drop(columns="patient_id"))


# Text


def section(text, title):
    return text.split(f"### {title}\n\n")[1].split("\n###")[0]


def stated(text, checklist):
    line = re.search(f"- {checklist}, stated at least in part: (.*)", text)[1]
    return {int(n) for n in re.findall(r"(?:^|; )(\d+) ", line)}


def test_the_text_counts_what_was_read_and_refused(both, cohort):
    volumes, y = cohort
    volumes = pd.concat([volumes, volumes[:2]], ignore_index=True)
    volumes.loc[3, "problem"] = f"MissingSlicesError: {NAME}.dcm"
    volumes.loc[2, "problem"] = f"{NAME}: {NAME}"
    text = methods_text(both, volumes, np.append(y, y[:2]))
    images = section(text, "Images")
    assert images.startswith(
        "4 volumes of 2 patients (2 each) were analysed (4 MR). Each has a mask. "
        "2 more volumes were refused by the reader: there are gaps between the slices "
        "of a series (MissingSlicesError, 1); for other reasons (1)."
    )
    assert "- MR (4 series): pixel spacing 1.5 mm; slice thickness 3 mm." in images
    assert NAME not in text


def test_the_text_tells_the_settings(both, cohort):
    volumes, y = cohort
    text = methods_text(both, volumes, y)
    processing = section(text, "Image processing")
    assert (
        "- Branch “latents”: Each volume was resampled to the isotropic" in processing
    )
    assert "A box of 4 x 4 x 4 voxels was cut around the bounding box" in processing
    assert "- Branch “own”: Voxels kept their acquired spacing." in processing
    features = section(text, "Features")
    assert "Variational autoencoder (VAE) with a code of 2 components" in features
    assert "hidden_layer_sizes = (8)" in features
    assert "learning rate of 0.001, in batches of 128, for 1 epochs." in features
    assert "- StandardScaler (default parameters)." in features
    assert section(text, "Model").strip() == "LogisticRegression (C = 0.05)."
    counts = np.bincount(y)
    outcome = f"The volumes are {counts[0]} of class 0, {counts[1]} of class 1."
    assert section(text, "Outcome").startswith(outcome)
    assert "VAE: seed 0; LogisticRegression: no fixed seed." in text


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"spacing": (3, 1, 1)}, "resampled to voxels of 3 x 1 x 1 mm, by linear"),
        ({"interpolation": "cubic"}, "cubic spline interpolation"),
        ({"window": "lung"}, "clipped to the lung window of CT."),
        ({"window": (40, 400)}, "clipped to -160 to 240."),
        ({"window": {"image": (0, 2)}}, "clipped to -1 to 1 (image)."),
        ({"crop": "mask", "margin": 3}, "cut to the bounding box of the mask with a"),
        ({"crop": "center", "shape": (2, 4, 4)}, "A box of 2 x 4 x 4 voxels was cut"),
        ({"normalize": "percentile"}, "The 0.5 and 99.5 percentiles"),
        ({"suv": True}, "standardized uptake values by body weight"),
        ({"ibsi": True}, "Hounsfield units were rounded"),
        ({"fill": -1000.0}, "filled with -1000."),
        ({"mask_outside": True}, "So were voxels outside of the mask."),
        ({"irregular": "interpolate"}, "Between missing or uneven slices"),
        ({"label": "GTV"}, 'The region is the label "GTV".'),
        ({"on_error": "nan"}, "Cases that could not be read are missing values."),
        ({"channels": ("t1", "t2")}, "The channels (t1, t2) were brought to"),
    ],
)
def test_each_parameter_of_the_loader_has_its_sentence(parameters, sentence):
    text = methods_text(RegionFeatures(loader=VolumeLoader(**parameters)), [])
    assert sentence in section(text, "Image processing")


def test_the_text_describes_a_search_and_its_folds(cohort):
    volumes, y = cohort
    steps = [("own", regions()), ("scale", StandardScaler())]
    pipeline = Pipeline([*steps, ("classify", LogisticRegression())])
    grid = {"classify__C": [0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=StratifiedKFold(2))
    before = section(methods_text(search, volumes, y), "Search")
    assert before.startswith(
        'GridSearchCV compared 2 settings by "roc_auc", in 2 splits'
    )
    assert "with 2 volumes to train and 2 to test" in before
    assert "- `classify__C`: 0.1, 1" in before
    assert "it chose" not in before
    after = methods_text(search.fit(volumes, y), volumes, y, cv=GroupKFold(4))
    assert "it was fitted on, it chose `classify__C`: " in section(after, "Search")
    assert "18 features per case enter the last step" in section(after, "Features")
    validation = section(after, "Validation")
    assert validation.startswith("The pipeline was tested in 4 splits of `GroupKFold(")
    assert "with 3 volumes to train and 1 to test. No patient is in both" in validation
    assert "the search included," in validation


@pytest.mark.parametrize(
    ("cv", "sentence"),
    [
        (KFold(4), "In 4 of them, a patient is in both sets."),
        (GuardedSplit(GroupKFold(2)), "No patient is in both sets of a split."),
        (KFold(2, shuffle=True), "shuffles without a fixed seed"),
        ([([0, 1], [2]), ([2], [0, 1])], "2 splits of a given list"),
        (StratifiedKFold(50), "the splits of `StratifiedKFold("),
        (3, "3 splits of `StratifiedKFold("),
    ],
    ids=["leak", "guarded", "unseeded", "list", "impossible", "number"],
)
def test_the_text_says_what_splits_do(both, cohort, cv, sentence):
    volumes, y = (np.repeat(part, 2, axis=0) for part in (cohort[0], cohort[1]))
    volumes = pd.DataFrame(volumes, columns=list(cohort[0]))
    order = np.argsort(np.arange(8) % 2, kind="stable")
    text = methods_text(both, volumes.iloc[order], y[order], cv=cv)
    assert sentence in section(text, "Validation")
    assert (18 in stated(text, "METRICS")) == ("No patient" in text)


def test_splits_are_looked_at_and_left_as_they_were(both, cohort):
    rng = np.random.RandomState(0)
    state = rng.get_state()[1].copy()
    methods_text(both, *cohort, cv=KFold(2, shuffle=True, random_state=rng))
    np.testing.assert_array_equal(rng.get_state()[1], state)
    with pytest.raises(TypeError, match="pass a list"):
        methods_text(both, *cohort, cv=iter([([0], [1])]))


def test_checklists_have_their_items_stated_or_open(both, cohort):
    text = methods_text(both, cohort[0])
    for name, items in {"CLEAR": CLEAR, "METRICS": METRICS}.items():
        (is_open,) = re.findall(f"- {name}, open: (.*)", text)
        opened = {int(n) for n in re.findall(r"(?:^|; )(\d+) ", is_open)}
        assert opened | stated(text, name) == set(items)
        assert not opened & stated(text, name)
    assert list(METRICS) == list(range(1, 31))
    assert set(CLEAR) == set(range(7, 59)) - {49, 50, 51, 52}
    assert {16, 21, 22, 23, 24, 25, 26, 28, 32, 34} <= stated(text, "CLEAR")
    assert not {8, 15, 18, 30, 36, 37, 38, 47} & stated(text, "CLEAR")
    assert stated(methods_text(both, *cohort, cv=2), "CLEAR") >= {15, 30, 38}


def test_functions_of_ones_own_leave_discretization_open(cohort):
    def texture(image, mask, spacing):
        return {"contrast": 1.0}

    own = RegionFeatures([texture], loader=VolumeLoader()).fit(cohort[0])
    text = methods_text(own, cohort[0])
    assert "Numbers of features: texture (1)." in section(text, "Features")
    assert 23 not in stated(text, "CLEAR")
    assert 12 not in stated(text, "METRICS")


def test_regions_are_named_if_two_patients_have_them(cohort):
    names = ["GTV", "GTV", ("GTV", "edema"), ("GTV", "edema"), NAME, 3]
    volumes = pd.concat([cohort[0], cohort[0][:2]], ignore_index=True)
    volumes["patient_id"] = list("abcdef")
    volumes["region"] = pd.Series(names, dtype=object)
    text = section(methods_text(regions(), volumes), "Images")
    assert "Regions are named GTV (2), GTV + edema (2), other (1)." in text


def test_functions_are_told_with_their_settings(cohort):
    def texture(image, mask, spacing, bin_width):
        return {}

    features = {"coarse": partial(texture, bin_width=25)}
    text = methods_text(RegionFeatures(features), [])
    assert "coarse: texture (bin_width = 25)." in section(text, "Features")


def test_models_of_scanners_are_named_if_two_patients_have_them(tmp_path):
    for number, model in enumerate(["Avanto", "Avanto", "Unique", "Unique"]):
        header(
            tmp_path,
            f"series{number}",
            PatientID=f"p{min(number, 2)}",
            Manufacturer="SIEMENS",
            ManufacturerModelName=model,
            MagneticFieldStrength="1.5" if number else None,
            EchoTime=str(10 + number),
        )
    text = section(methods_text(VolumeLoader(), scan(tmp_path)), "Images")
    assert "manufacturer Siemens; model Avanto (2), other (2)" in text
    assert "field strength 1.5 T, not stated in 1" in text
    assert "echo time 10 ms (1), 11 ms (1), 12 ms (1), 13 ms (1)" in text
    assert "Unique" not in text


def test_many_values_are_a_range(tmp_path):
    for number in range(6):
        times = {"EchoTime": str(10 + number), "RepetitionTime": str(5000 + number)}
        header(tmp_path, f"series{number}", ManufacturerModelName="Avanto", **times)
    text = methods_text(VolumeLoader(), [*sorted(tmp_path.iterdir())])
    assert "echo time 10 to 15 ms, median 12.5 ms; repetition time 5000 ms." in text
    assert "model other" in text  # of patients who are not known
    assert "6 volumes were analysed (6 MR)." in text


def test_the_text_is_the_same_each_time(fitted, cohort):
    cv = KFold(2, shuffle=True, random_state=0)
    texts = {methods_text(fitted, *cohort, cv=cv) for _ in range(2)}
    assert len(texts) == 1


def test_nothing_tells_who_a_patient_is(tmp_path):
    root = tmp_path / NAME
    make_dicom_cohort(root, 4, random_state=0)
    planted = {
        "PatientName": f"{NAME}^ANNA",
        "PatientBirthDate": "19540321",
        "StudyDate": "20200202",
        "InstitutionName": f"{NAME} Hospital",
        "StationName": NAME,
        "SeriesDescription": NAME,
        "ManufacturerModelName": f"Scanner {NAME}",
        "ContrastBolusAgent": NAME,
        "ConvolutionKernel": NAME,
    }
    for path in root.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = f"{NAME}-{dataset.PatientID}"
        for keyword, value in planted.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
    next(root.rglob("005.dcm")).unlink()
    volumes = scan(root)
    volumes.index = volumes["patient_id"]
    readable = volumes[volumes["problem"].isna()]
    loader = VolumeLoader(cache=root / "cache", crop="mask", spacing=2)
    pipeline = make_pipeline(
        RegionFeatures("first_order", loader), LogisticRegression()
    ).set_params(memory=str(root))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(readable, [0, 1, 0])
    grid = {"regionfeatures__loader__cache": [root, str(root)]}
    search = GridSearchCV(pipeline, grid, cv=GroupKFold(2))
    text = methods_text(search, volumes, [0, 1, 0], cv=GroupKFold(3))
    features_table(pipeline, readable, path=tmp_path / "table.csv")
    for written in (
        text,
        (tmp_path / "table.csv").read_text(),
        (tmp_path / "table.json").read_text(),
    ):
        for secret in (NAME, "phantom-0", "ANNA", "19540321", "20200202", "Hospital"):
            assert secret not in written
        assert not UID.search(written)


def test_y_must_be_as_long_as_the_volumes(both, cohort):
    volumes, y = cohort
    volumes = volumes.copy()
    volumes.loc[0, "problem"] = "MissingSlicesError: 1"
    assert methods_text(both, volumes, y) == methods_text(both, volumes, y[1:])
    with pytest.raises(ValueError, match="each of the 4 `volumes`, or of the 3 that"):
        methods_text(both, volumes, y[:2])


def test_methods_say_how_components_were_chosen(digits):
    X = digits[0][:60].reshape(60, -1)
    vae = VAE("auto", architecture=MLP((8,)), max_iter=1, random_state=0)
    assert "as many components, chosen on held-out" in methods_text(vae, [])
    text = methods_text(vae.fit(X), [])
    assert f"{vae.n_components_} components, chosen on held-out samples;" in text
