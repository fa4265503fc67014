"""What two checklists of radiomics ask for, and which part of a text answers it.

The items are those of CLEAR (B. Kocak et al., 2023, doi:10.1186/s13244-023-01415-8) and
METRICS (B. Kocak et al., 2024, doi:10.1186/s13244-023-01572-w), both under CC BY 4.0,
in short. Those on title, abstract, introduction and discussion are left out. Each goes
with the note that the text makes where it answers the item; None stands for what only
the authors know.
"""

CLEAR = {
    7: ("adherence to guidelines or checklists", None),
    8: ("ethical details", None),
    9: ("sample size calculation", None),
    10: ("study nature (retrospective, prospective)", None),
    11: ("eligibility criteria", None),
    12: ("flowchart of the technical pipeline", None),
    13: ("data source (private, public)", None),
    14: ("data overlap with other publications", None),
    15: ("data split methodology", "Validation"),
    16: ("imaging protocol", "protocol"),
    17: ("non-radiomic predictors", None),
    18: ("definition of the reference standard", None),
    19: ("segmentation strategy", None),
    20: ("operators performing segmentation", None),
    21: ("image pre-processing", "Image processing"),
    22: ("resampling method and its parameters", "Image processing"),
    23: ("discretization method and its parameters", "discretization"),
    24: ("image types (original, filtered)", "image types"),
    25: ("feature extraction method", "Features"),
    26: ("feature classes", "feature classes"),
    27: ("number of features", "number of features"),
    28: ("default configuration for remaining parameters", "Software"),
    29: ("handling of missing data", "missing data"),
    30: ("class imbalance", "Outcome"),
    31: ("segmentation reliability analysis", None),
    32: ("feature scaling", "feature scaling"),
    33: ("dimension reduction", "dimension reduction"),
    34: ("algorithm details", "Model"),
    35: ("training and tuning details", "Model"),
    36: ("handling of confounders", None),
    37: ("model selection strategy", "Search"),
    38: ("testing technique (internal, external)", "Validation"),
    39: ("performance metrics and rationale for choosing", None),
    40: ("uncertainty evaluation and measures", None),
    41: ("statistical comparison of performance", None),
    42: ("comparison with non-radiomic and combined methods", None),
    43: ("interpretability and explainability", None),
    44: ("baseline demographic and clinical characteristics", None),
    45: ("flowchart for eligibility criteria", None),
    46: ("feature statistics", None),
    47: ("model performance", None),
    48: ("results of the comparison with other approaches", None),
    53: ("sharing images with segmentations (not essential)", None),
    54: ("sharing radiomic feature data", None),
    55: ("sharing pre-processing scripts or settings", None),
    56: ("sharing source code for modeling", None),
    57: ("sharing final model files", None),
    58: ("sharing a ready-to-use system (not essential)", None),
}
METRICS = {
    1: ("adherence to checklists or guidelines", None),
    2: ("eligibility criteria that describe a representative population", None),
    3: ("high-quality reference standard with a clear definition", None),
    4: ("multi-center", None),
    5: ("clinical translatability of the imaging data source", None),
    6: ("imaging protocol with acquisition parameters", "protocol"),
    7: ("interval between imaging and reference standard", None),
    8: ("transparent description of segmentation methodology", None),
    9: ("formal evaluation of fully automated segmentation", None),
    10: ("test set masks produced by a single reader or automated tool", None),
    11: ("image preprocessing with transparent description", "Image processing"),
    12: ("standardized feature extraction software", "ibsi"),
    13: ("reporting of feature extraction parameters", "Features"),
    14: ("removal of non-robust features", None),
    15: ("removal of redundant features", "feature selection"),
    16: ("dimensionality compared to data size", "number of features"),
    17: ("robustness assessment of end-to-end deep learning", None),
    18: ("proper data partitioning process", "partition"),
    19: ("handling of confounding factors", None),
    20: ("performance evaluation metrics for the task", None),
    21: ("consideration of uncertainty", None),
    22: ("calibration assessment", None),
    23: ("uni-parametric imaging or proof of its inferiority", "uni-parametric"),
    24: ("comparison with a non-radiomic approach", None),
    25: ("comparison with simple or classical statistical models", None),
    26: ("internal testing", "Validation"),
    27: ("external testing", None),
    28: ("data availability", None),
    29: ("code availability", None),
    30: ("model availability", None),
}


def checklists(notes):
    """List the items of CLEAR and METRICS that a text answers, and the open ones."""
    lines = []
    for name, items in {"CLEAR": CLEAR, "METRICS": METRICS}.items():
        stated = {n: text for n, (text, key) in items.items() if key in notes}
        is_open = {n: text for n, (text, _) in items.items() if n not in stated}
        lines.append(f"- {name}, stated at least in part: {_items(stated)}.")
        lines.append(f"- {name}, open: {_items(is_open)}.")
    return (
        "Items of CLEAR [1] and METRICS [2] by their numbers, without those of CLEAR "
        "on title, abstract, introduction and discussion. Only the authors can answer "
        "what is open, and whether what is stated is enough.\n\n" + "\n".join(lines)
    )


def _items(items):
    return "; ".join(f"{n} {text}" for n, text in items.items()) or "none"


_REFERENCES = {
    "clear": 'B. Kocak et al., "CheckList for EvaluAtion of Radiomics research '
    "(CLEAR): a step-by-step reporting guideline for authors and reviewers endorsed by "
    'ESR and EuSoMII", Insights into Imaging 14:75, 2023, '
    "https://doi.org/10.1186/s13244-023-01415-8.",
    "metrics": 'B. Kocak et al., "METhodological RadiomICs Score (METRICS): a quality '
    'scoring tool for radiomics research endorsed by EuSoMII", Insights into Imaging '
    "15:8, 2024, https://doi.org/10.1186/s13244-023-01572-w.",
    "ibsi": 'A. Zwanenburg et al., "The Image Biomarker Standardization Initiative", '
    "Radiology 295:328-338, 2020, https://doi.org/10.1148/radiol.2020191145.",
}


def references(notes):
    """List the papers that a text cites."""
    keys = ["clear", "metrics", *(["ibsi"] if "ibsi" in notes else [])]
    return "\n".join(f"{n}. {_REFERENCES[key]}" for n, key in enumerate(keys, 1))
