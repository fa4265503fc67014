"""A transformer from DICOM series to arrays."""

import math
import os
import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin

from .._cache import CacheWarning
from .._mixin import EstimatorMixin
from .._validation import StrOptions, at_least, fit_context, positive
from ._cached import CachedVolumes
from ._case import CaseReader
from ._cases import cases_in, source_of
from ._errors import DicomError, DicomWarning
from ._notes import (
    cut_masks,
    distinct,
    level_of_user,
    mixed_modalities,
    recorded,
)
from ._process import (
    ORDERS,
    WINDOWS,
)

_NONE_LOADED = "None of the cases in `X` could be loaded."


class VolumeLoader(EstimatorMixin, TransformerMixin, BaseEstimator):
    """Turn DICOM series into arrays of one shape: read, resample, crop, normalize.

    Nothing is learnt from the data: each case is treated by itself, so that no patient
    leaks into another's features. All parameters may be searched together with those
    of what follows in a pipeline.

    Each volume comes to a rectangular grid along the axes of the patient, or the
    acquired ones nearest to those: slices to the head, rows to the back, columns to the
    left. The grid is aligned with the centre of the volume.

    Parameters
    ----------
    spacing : float, array-like of 3 floats, "fit" or None, default=None
        Millimetres between slices, rows and columns of the output. A larger one gives
        fewer, coarser voxels. "fit" takes, for each case, the isotropic one at which
        what is cropped fills `shape`; None keeps the acquired one.
    window : str, pair of floats, dict or None, default=None
        Range to clip values to: "bone", "brain", "lung", "soft_tissue" (of CT in HU),
        or (centre, width) in the units of the images. A dict gives one for each of the
        `channels` by name.
    shape : tuple of 3 ints or None, default=None
        Number of slices, rows and columns of the output. What lies outside of the
        volume is filled. None leaves each case as large as it is; all must then agree.
    crop : {"mask", "center"} or None, default=None
        What `shape` is laid around: the mask's bounding box, or the middle of the
        volume. Without a `shape`, "mask" cuts out the bounding box; with one that is
        too small for a mask, a warning says so. None cuts nothing: a volume that is
        larger than `shape` is an error.
    margin : float, default=0.0
        Millimetres added on every side of the bounding box, with ``crop="mask"``.
    mask_outside : bool, default=False
        Whether to set voxels outside of the mask to `fill`.
    normalize : {"standard", "percentile", "window"} or None, default=None
        "standard" makes mean 0 and standard deviation 1 and "percentile" takes the 0.5
        and 99.5 percentiles to 0 and 1, each within the mask, or within the body if
        there is none; "window" takes the window to [0, 1].
    interpolation : {"linear", "cubic", "nearest"}, default="linear"
        How values between voxels are found. Masks are interpolated linearly and cut at
        0.5.
    fill : float or None, default=None
        Value, before normalization, of what lies outside. None takes the lowest of the
        volume, or of the window.
    irregular : {"raise", "interpolate"}, default="raise"
        As in `load_series`.
    suv : bool, default=False
        Whether PET is read in standardized uptake values.
    label : int, str or None, default=None
        Which label of the masks is the region, as in `load_mask`. A column
        "mask_label" that says otherwise is an error.
    channels : tuple of str, default=("image",)
        Columns of the table that hold the series of each channel. Further channels are
        interpolated on the grid of the first, in the same frame of reference. NIfTI,
        NRRD and MetaImage state none: their millimetres are taken to be in one space,
        with a warning if their grids differ.
    ibsi : bool, default=False
        Whether to keep to the image processing of the Image Biomarker Standardisation
        Initiative [1]_: HU are rounded to whole numbers after interpolation; `window`,
        `normalize` and ``spacing="fit"`` are errors.
    flatten : bool, default=False
        Whether `transform` returns one row per case, with ``image_shape`` for the
        estimators that follow being (n_channels, \\*shape).
    cache : path or None, default=None
        Folder where results are kept, under a hash of the content of the files and of
        the settings. Each volume is decoded once over a whole search.
    lazy : bool, default=False
        Whether `transform` reads all cases once, to fill the `cache`, and returns an
        array-like that takes each image from there when it is asked for. The
        estimators of this package hold a few of them at a time, so that a cohort may
        be larger than memory. It needs a `cache` and a `shape`.
    n_jobs : int or None, default=None
        Processes that load cases, as in joblib.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a case that can't be read: raise its error, or give a row of NaN
        and one `DicomWarning` that counts them.

    See Also
    --------
    scan : Makes the table of series.
    load_series : Reads one of them.
    skvae.radiomics.RegionFeatures : Hand-crafted features of the same cases.

    References
    ----------
    .. [1] A. Zwanenburg et al., "Image biomarker standardisation initiative", 2019,
       https://arxiv.org/abs/1612.07003.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> from skvae.dicom import VolumeLoader
    >>> loader = VolumeLoader(shape=(1, 32, 32), crop="center", window="soft_tissue")
    >>> loader.transform([get_testdata_file("CT_small.dcm")]).shape
    (1, 1, 1, 32, 32)
    """

    _parameter_constraints = {
        "spacing": [
            positive,
            "array-like",
            StrOptions({"fit"}),
            None,
        ],
        "window": [StrOptions(set(WINDOWS)), "array-like", dict, None],
        "shape": "no_validation",
        "crop": [StrOptions({"center", "mask"}), None],
        "margin": [at_least(0)],
        "mask_outside": ["boolean"],
        "normalize": [StrOptions({"percentile", "standard", "window"}), None],
        "interpolation": [StrOptions(set(ORDERS))],
        "fill": [Real, None],
        "irregular": [StrOptions({"interpolate", "raise"})],
        "suv": ["boolean"],
        "label": [Integral, str, None],
        "channels": ["array-like"],
        "ibsi": ["boolean"],
        "flatten": ["boolean"],
        "cache": [str, os.PathLike, None],
        "lazy": ["boolean"],
        "n_jobs": [Integral, None],
        "on_error": [StrOptions({"nan", "raise"})],
    }

    def __init__(
        self,
        spacing=None,
        window=None,
        shape=None,
        crop=None,
        *,
        margin=0.0,
        mask_outside=False,
        normalize=None,
        interpolation="linear",
        fill=None,
        irregular="raise",
        suv=False,
        label=None,
        channels=("image",),
        ibsi=False,
        flatten=False,
        cache=None,
        lazy=False,
        n_jobs=None,
        on_error="raise",
    ):
        self.spacing = spacing
        self.window = window
        self.shape = shape
        self.crop = crop
        self.margin = margin
        self.mask_outside = mask_outside
        self.normalize = normalize
        self.interpolation = interpolation
        self.fill = fill
        self.irregular = irregular
        self.suv = suv
        self.label = label
        self.channels = channels
        self.ibsi = ibsi
        self.flatten = flatten
        self.cache = cache
        self.lazy = lazy
        self.n_jobs = n_jobs
        self.on_error = on_error

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X=None, y=None):
        """Check the parameters; nothing is learnt.

        Parameters
        ----------
        X, y : object, default=None
            Not used.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is not valid, or contradicts another.
        """
        self._check()
        return self

    def transform(self, X):
        """Read all cases.

        Parameters
        ----------
        X : DataFrame or list of length n_cases
            A table from `scan`, whose rows are one channel each; a table or a list of
            dicts with a column for each of the `channels`, which hold a folder, a list
            of files, a NIfTI, NRRD or MetaImage file, or a row of `scan`; or a list of
            those. A column "mask" holds the file of the mask, or several to unite, and
            "mask_label" what is meant in it, as in tables from `select_regions`.
            Without it, the one file in "masks" of a row of `scan` is taken, or the only
            mask in a folder, if there is one.

        Returns
        -------
        images : ndarray of shape (n_cases, n_channels, n_slices, n_rows, n_columns) \
                or (n_cases, n_values), float32
            With ``lazy=True``, an array-like that has `shape`, `dtype` and slices.

        Raises
        ------
        DicomError
            If a case can't be read and ``on_error="raise"``.
        TypeError
            If `X` is a single case or was saved as CSV, or a mask is not a path.
        ValueError
            If a parameter is not valid, `X` is empty, or cases differ in shape.
        """
        if self.lazy:
            return self._cached(X)
        cases = self.load_cases(X)
        shapes = {case.image.shape for case in cases if case is not None}
        if len(shapes) != 1:
            raise ValueError(
                f"All cases must have one shape, got {sorted(shapes)}. Set `shape`, "
                "with crop='mask' or 'center'."
                if shapes
                else _NONE_LOADED
            )
        images = np.empty((len(cases), *shapes.pop()), dtype=np.float32)
        for image, case in zip(images, cases, strict=True):
            image[:] = np.nan if case is None else case.image
        return images.reshape(len(images), -1) if self.flatten else images

    @fit_context(prefer_skip_nested_validation=True)
    def load_cases(self, X):
        """Read cases one after the other, with their masks and reports.

        Parameters
        ----------
        X : DataFrame or list of length n_cases
            As in `transform`.

        Returns
        -------
        cases : list of Case or None
            None for a case that can't be read, with ``on_error="nan"``.

        Warns
        -----
        DicomWarning
            Once for each call and text, also for what comes from the cache or another
            process: what `load_series` and `load_mask` warn of; masks that are larger
            than `shape`; channels that hold several modalities; the number of cases
            that can't be read, with ``on_error="nan"``.

        Raises
        ------
        DicomError
            If a case can't be read and ``on_error="raise"``.
        ValueError
            If a parameter is not valid.
        """
        self._check()
        return self._each(X, _case)

    def report(self, X):
        """Tell what was read, and what was done to it, for each case.

        Parameters
        ----------
        X : DataFrame or list of length n_cases
            As in `transform`.

        Returns
        -------
        report : DataFrame
            One row per case: the hashes of its series, their provenance, the settings,
            the grid, the shares of voxels that were clipped and filled, the share of
            the mask that `shape` cuts off ("mask_cut") and, if there is one, an
            isotropic spacing in mm that would hold all of it ("mask_spacing").
        """
        return pd.DataFrame(
            [{} if case is None else case.report for case in self.load_cases(X)]
        )

    def get_feature_names_out(self, input_features=None):
        """Return a name for each voxel of the output: channel, slice, row, column.

        Parameters
        ----------
        input_features : object, default=None
            Not used.

        Returns
        -------
        names : ndarray of shape (n_values,), object

        Raises
        ------
        ValueError
            If a parameter is not valid, or there is no `shape`.
        """
        self._check()
        if self.shape is None:
            raise ValueError("Names of voxels need a `shape`.")
        voxels = list(np.ndindex(*self.shape))
        return np.array(
            [f"{name}_{z}_{y}_{x}" for name in self.channels for z, y, x in voxels],
            dtype=object,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.no_validation = True
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def _check(self):
        if self.shape is not None:
            _check_three("shape", self.shape, "whole", "iu")
        if np.ndim(self.spacing):
            _check_three("spacing", self.spacing, "positive", "iuf")
        if not len(self.channels):
            raise ValueError("`channels` must name one at least.")
        windows = self.window if isinstance(self.window, dict) else {}
        unknown = set(windows) - set(self.channels)
        if unknown:
            raise ValueError(
                f"`window` must be for the `channels` {list(self.channels)}, got "
                f"{sorted(unknown)}."
            )
        if self.shape is None and (self.crop == "center" or self.spacing == "fit"):
            raise ValueError("crop='center' and spacing='fit' need a `shape`.")
        if self.lazy and (self.cache is None or self.shape is None):
            raise ValueError("lazy=True needs a `cache` and a `shape`.")
        if self.margin and self.crop != "mask":
            raise ValueError("`margin` needs crop='mask': it lies around the mask.")
        if self.normalize == "window" and self.window is None:
            raise ValueError("normalize='window' needs a `window`.")
        beyond = {"window": self.window, "normalize": self.normalize}
        beyond["spacing"] = self.spacing if isinstance(self.spacing, str) else None
        if self.ibsi and any(value is not None for value in beyond.values()):
            names = [name for name, value in beyond.items() if value is not None]
            raise ValueError(
                f"ibsi=True leaves no room for `{'`, `'.join(names)}`: leave it out."
            )

    @fit_context(prefer_skip_nested_validation=True)
    def _cached(self, X):
        """Fill the cache, and return the images as an array that is read from there."""
        self._check()
        places = self._each(X, _place)
        if not any(places):
            raise ValueError(_NONE_LOADED)
        shape = len(self.channels), *self.shape
        shape = (math.prod(shape),) if self.flatten else shape
        return CachedVolumes(self._reader(), places, shape)

    def _each(self, X, result_of):
        """Return something of each case, None of those that can't be read.

        Warnings are given once, for all cases together.
        """
        with warnings.catch_warnings():  # threads would leave theirs behind
            loaded = Parallel(n_jobs=self.n_jobs, batch_size=1)(
                delayed(recorded)(
                    partial(self._attempt, number, case, result_of),
                    DicomWarning,
                    CacheWarning,
                )
                for number, case in enumerate(cases_in(X))
            )
        results = [result for (result, *_), _ in loaded]
        reports = {n: report for n, ((_, report, _), _) in enumerate(loaded) if report}
        problems = [problem for (*_, problem), _ in loaded if problem]
        notes = [note for _, notes in loaded for note in notes]
        if problems:
            text = (
                f"{len(problems)} of {len(results)} cases can't be read and are NaN. "
            )
            notes.append(DicomWarning(f"{text}The first: {problems[0]}"))
        notes += self._doubts(reports)
        level = level_of_user()
        for note in distinct(notes):
            warnings.warn(note, stacklevel=level)
        return results

    def _attempt(self, number, case, result_of):
        """Return something of a case and its report, or a note on why there is none."""
        try:
            source = source_of(case, tuple(self.channels), number, self.label)
            reader = self._reader()
            made = reader.read(source)
            return result_of(reader, source, made), made.report, None
        except (DicomError, OSError) as error:
            if self.on_error == "nan":
                note = f"case {number}, {type(error).__name__}: {error}"
                return None, None, note
            error.add_note(f"This was case {number}.")
            raise

    def _reader(self):
        beside = {"cache", "flatten", "lazy", "n_jobs", "on_error"}
        parameters = self.get_params()
        settings = {n: parameters[n] for n in parameters if n not in beside}
        return CaseReader(settings, self.cache, maker=type(self))

    def _doubts(self, reports):
        """Return warnings of what is doubtful about all cases together."""
        texts = list(mixed_modalities(reports.values(), self.channels))
        if self.crop == "mask":
            texts += cut_masks(reports, self.shape)
        return map(DicomWarning, texts)


def _case(reader, source, made):
    return made


def _place(reader, source, made):
    """Return where a case lies in the cache, and what it is made from."""
    return source, reader.key(source)


def _check_three(name, value, rule, kinds):
    array = np.asarray(value)
    if array.shape != (3,) or array.dtype.kind not in kinds or array.min() <= 0:
        raise ValueError(
            f"`{name}` must be 3 {rule} numbers above 0, for slices, rows and columns, "
            f"got {value!r}."
        )
