"""Texture of a region: its grey levels, and how they stand next to each other."""

from itertools import product

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_LEVELS = 2**16  # between the smallest and largest intensity
MAX_PAIRED = 2**11  # in use: a matrix of all pairs grows with their square


def intensity_histogram(grid):
    """Return features of the counts of each level."""
    p = np.unique(grid[grid > 0], return_counts=True)[1] / np.sum(grid > 0)
    return {"entropy": _entropy(p), "uniformity": p @ p}


def glcm(grid, offsets, merge):
    """Return features of the matrices of pairs of neighbours."""
    values, indices = np.unique(grid, return_inverse=True)
    if len(values) > MAX_PAIRED:
        raise ValueError(
            f"The region has {len(values) - 1} grey levels, which is too many for "
            "pairs. Choose a larger `bin_width`, or `bin_number`."
        )
    indices = indices.reshape(grid.shape)
    matrices = (_pairs(indices, len(values), offset) for offset in offsets)
    if merge:
        matrices = [sum(matrices)]
    return _average([_of_pairs(each, values[1:]) for each in matrices if each.any()])


def glrlm(grid, offsets, merge):
    """Return features of the runs of equal levels along each offset."""
    runs = [_runs(grid, offset) for offset in offsets]
    if merge:
        runs = [tuple(np.concatenate(parts) for parts in zip(*runs, strict=True))]
    return _average([_of_runs(*each) for each in runs])


def glszm(grid, offsets):
    """Return features of the zones of equal levels that touch."""
    levels, sizes = _zones(grid, offsets)
    features = _of_groups(
        levels, sizes, "small_zone", "large_zone", "zone", "zone_size"
    )
    return features | {"zone_percentage": len(sizes) / sizes.sum()}


def gldm(grid, offsets):
    """Return features of the numbers of neighbours of a voxel's own level."""
    here = grid[_CORE]
    inside = here > 0
    counts = sum((here == there).astype(int) for there in _both(grid, offsets))
    sizes = counts[inside] + 1  # the voxel itself is counted
    words = ("low_dependence", "high_dependence", "count", "dependence_count")
    return _of_groups(here[inside], sizes, *words)


def ngtdm(grid, offsets):
    """Return features of the differences from the mean of the neighbours."""
    here = grid[_CORE].astype(float)
    neighbours = list(_both(grid, offsets))
    counts = sum((there > 0).astype(int) for there in neighbours)
    valid = (here > 0) & (counts > 0)
    means = sum(neighbours)[valid] / counts[valid]
    levels, indices = np.unique(here[valid], return_inverse=True)
    sums = np.bincount(indices, weights=np.abs(here[valid] - means))
    return _of_differences(levels, np.bincount(indices), sums)


def discretise(image, mask, bin_width, bin_number):
    """Return the box around the region as levels from 1, 0 outside of it.

    The box has a rim of one voxel, so that every voxel of the region has neighbours.
    """
    box = tuple(slice(index.min(), index.max() + 1) for index in np.nonzero(mask))
    mask = mask[box]
    grid = np.zeros(mask.shape, dtype=np.int64)
    values = image[box][mask].astype(float)
    grid[mask] = np.digitize(values, _edges(values, bin_width, bin_number))
    return np.pad(grid, 1)


def offsets_between(in_plane):
    """Return one offset of each pair of opposite neighbours: 13, or 4 in a slice."""
    offsets = [offset for offset in product((-1, 0, 1), repeat=3) if offset > (0, 0, 0)]
    return [offset for offset in offsets if not (in_plane and offset[0])]


def _edges(values, bin_width, bin_number):
    """Return the edges of bins as pyradiomics draws them."""
    low, high = values.min(), values.max()
    if bin_number is not None:
        if low == high:
            low, high = low - 0.5, high + 0.5
        return np.append(np.linspace(low, high, bin_number + 1)[:-1], np.inf)
    if (high - low) / bin_width >= MAX_LEVELS:
        raise ValueError(
            f"`bin_width`={bin_width} cuts intensities from {low:g} to {high:g} into "
            f"more than {MAX_LEVELS} levels. Choose a larger one, or `bin_number`."
        )
    return np.arange(low - low % bin_width, high + 2 * bin_width, bin_width)


_CORE = (slice(1, -1),) * 3


def _shifted(grid, offset):
    """Return the neighbours at an offset of all voxels but those of the rim."""
    return grid[
        tuple(slice(1 + d, n - 1 + d) for d, n in zip(offset, grid.shape, strict=True))
    ]


def _both(grid, offsets):
    """Yield the neighbours at each offset and opposite to it."""
    for offset in offsets:
        yield _shifted(grid, offset)
        yield _shifted(grid, tuple(-d for d in offset))


def _pairs(indices, n_levels, offset):
    """Count the pairs of neighbours by their two levels, in both orders.

    The first level is what lies outside of the region, and is left out.
    """
    pairs = indices[_CORE] * n_levels + _shifted(indices, offset)
    counts = np.bincount(pairs.ravel(), minlength=n_levels**2)
    matrix = counts.reshape(n_levels, n_levels)[1:, 1:]
    return matrix + matrix.T


def _runs(grid, offset):
    """Return the levels and lengths of all runs.

    Along an offset, positions in the flat grid grow by one step. So they have one
    remainder by it, and starts and ends of runs alternate when sorted by remainder.
    """
    step = np.ravel_multi_index(np.add(offset, 1), grid.shape)
    step -= np.ravel_multi_index((1, 1, 1), grid.shape)
    flat = grid.ravel()
    positions = np.flatnonzero(flat)
    positions = positions[np.argsort(positions % step, kind="stable")]
    levels = flat[positions]
    starts = np.flatnonzero(levels != flat[positions - step])
    ends = np.flatnonzero(levels != flat[positions + step])
    return levels[starts], ends - starts + 1


def _zones(grid, offsets):
    """Return the levels and sizes of all zones."""
    number = np.cumsum(grid.ravel() > 0).reshape(grid.shape) - 1
    here, numbers = grid[_CORE], number[_CORE]
    first, second = [], []
    for offset in offsets:
        alike = (here > 0) & (here == _shifted(grid, offset))
        first.append(numbers[alike])
        second.append(_shifted(number, offset)[alike])
    first, second = np.concatenate(first), np.concatenate(second)
    levels = grid[grid > 0]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(levels),) * 2)
    _, zones = connected_components(graph, directed=False)
    _, firsts, sizes = np.unique(zones, return_index=True, return_counts=True)
    return levels[firsts], sizes


def _average(features):
    """Return the mean over directions of each feature."""
    names = features[0] if features else _of_pairs(np.ones((1, 1)), np.array([1]))
    return {
        name: np.mean([each[name] for each in features]) if features else np.nan
        for name in names
    }


def _of_pairs(matrix, levels):
    """Return the features of a symmetric matrix of pairs."""
    p = matrix / matrix.sum()
    marginal = p.sum(axis=0)
    i, j = levels[:, np.newaxis], levels
    mean = marginal @ levels
    variance = marginal @ (levels - mean) ** 2
    k = np.abs(i - j)
    differences, p_difference = _summed(k, p)
    sums, p_sum = _summed(i + j, p)
    apart = differences > 0
    scaled = differences / levels.max()
    covariance = ((i - mean) * (j - mean) * p).sum()
    mean_difference = p_difference @ differences
    return {
        "joint_maximum": p.max(),
        "joint_average": mean,
        "joint_variance": variance,
        "joint_entropy": _entropy(p),
        "difference_average": mean_difference,
        "difference_variance": p_difference @ (differences - mean_difference) ** 2,
        "difference_entropy": _entropy(p_difference),
        "sum_average": p_sum @ sums,
        "sum_entropy": _entropy(p_sum),
        "angular_second_moment": np.square(p).sum(),
        "contrast": p_difference @ differences**2,
        "inverse_difference": p_difference @ (1 / (1 + differences)),
        "normalised_inverse_difference": p_difference @ (1 / (1 + scaled)),
        "inverse_difference_moment": p_difference @ (1 / (1 + differences**2)),
        "normalised_inverse_difference_moment": p_difference @ (1 / (1 + scaled**2)),
        "inverse_variance": p_difference[apart] @ (1 / differences[apart] ** 2),
        "correlation": covariance / variance if variance else 1.0,
        "autocorrelation": (i * j * p).sum(),
        "cluster_tendency": p_sum @ (sums - 2 * mean) ** 2,
        "cluster_shade": p_sum @ (sums - 2 * mean) ** 3,
        "cluster_prominence": p_sum @ (sums - 2 * mean) ** 4,
        **_information(p, marginal),
        "maximal_correlation_coefficient": _maximal_correlation(p, marginal),
    }


def _summed(keys, p):
    """Add up the probabilities of equal keys, which are whole numbers."""
    probabilities = np.bincount(keys.ravel(), weights=p.ravel())
    return np.arange(len(probabilities)), probabilities


def _entropy(p):
    p = p[p > 0]
    return -(p @ np.log2(p))


def _information(p, marginal):
    """Return the two measures of correlation by mutual information."""
    single, joint = _entropy(marginal), _entropy(p)
    mutual = max(2 * single - joint, 0)
    return {
        "information_correlation_1": -mutual / single if single else 0.0,
        "information_correlation_2": np.sqrt(1 - np.exp(-2 * mutual)),
    }


def _maximal_correlation(p, marginal):
    """Return the second largest of the singular values of normalised pairs."""
    if len(p) == 1:
        return 1.0
    scale = np.divide(1, np.sqrt(marginal), where=marginal > 0, out=np.zeros(len(p)))
    eigenvalues = np.linalg.eigvalsh(p * scale * scale[:, np.newaxis])
    return np.sort(np.abs(eigenvalues))[-2]


def _of_runs(levels, lengths):
    features = _of_groups(levels, lengths, "short_run", "long_run", "run", "run_length")
    features["run_entropy"] = features.pop("run_length_entropy")
    return features | {"run_percentage": len(lengths) / lengths.sum()}


def _of_groups(levels, sizes, small, large, group, size):
    """Return the features of groups of voxels, each with a level and a size."""
    i, j = levels.astype(float) ** 2, sizes.astype(float) ** 2
    n = len(levels)
    by_level, by_size = (np.unique(x, return_counts=True)[1] for x in (levels, sizes))
    cells = np.unique(levels * (sizes.max() + 1) + sizes, return_counts=True)[1]
    return {
        f"{small}_emphasis": (1 / j).mean(),
        f"{large}_emphasis": j.mean(),
        f"low_grey_level_{group}_emphasis": (1 / i).mean(),
        f"high_grey_level_{group}_emphasis": i.mean(),
        f"{small}_low_grey_level_emphasis": (1 / (i * j)).mean(),
        f"{small}_high_grey_level_emphasis": (i / j).mean(),
        f"{large}_low_grey_level_emphasis": (j / i).mean(),
        f"{large}_high_grey_level_emphasis": (i * j).mean(),
        "grey_level_non_uniformity": np.square(by_level).sum() / n,
        "normalised_grey_level_non_uniformity": np.square(by_level / n).sum(),
        f"{size}_non_uniformity": np.square(by_size).sum() / n,
        f"normalised_{size}_non_uniformity": np.square(by_size / n).sum(),
        "grey_level_variance": levels.var(),
        f"{size}_variance": sizes.var(),
        f"{size}_entropy": _entropy(cells / n),
    }


def _of_differences(levels, counts, sums):
    """Return the features of counts and summed differences by level."""
    n, total = counts.sum(), sums.sum()
    if not n:
        names = ["coarseness", "contrast", "busyness", "complexity", "strength"]
        return dict.fromkeys(names, np.nan)
    p, n_levels = counts / n, len(levels)
    steps = np.subtract.outer(levels, levels)
    weighted = p * sums
    spread = np.abs(np.subtract.outer(levels * p, levels * p)).sum()
    pairs = np.add.outer(p, p)
    contrast = (np.outer(p, p) * steps**2).sum() * total / n
    complexity = np.abs(steps) * np.add.outer(weighted, weighted) / pairs
    return {
        "coarseness": 1 / weighted.sum() if total else 1e6,
        "contrast": contrast / max(n_levels * (n_levels - 1), 1),
        "busyness": weighted.sum() / spread if spread else 0.0,
        "complexity": complexity.sum() / n,
        "strength": (pairs * steps**2).sum() / total if total else 0.0,
    }
