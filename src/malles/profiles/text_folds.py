"""Learnt likeness kept honest: a product is compared by a learner that never saw its group.

Every fold's learner is taught without the fold's groups. Otherwise a head would learn to trust a likeness
that was learnt from the very choices it is fitted on, and would be wrong about new products.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy import ndarray

from malles.profiles.text import unit_rows

SHARPNESS = 5
"""Power of the co-purchase cosine in what is taught. A linear map
taught by the first power did worse on held-out groups in August than no teaching, by the fifth better."""


def fold_of_groups(groups: Sequence[str], folds: int) -> Int32[ndarray, " product"]:
    """A fold for every product by its group's name, the same on every machine.

    >>> fold_of_groups(["MUG", "MUG", "CLOCK"], 3).tolist()
    [0, 0, 2]
    """
    return np.array([zlib.crc32(f"fold:{g}".encode()) % folds for g in groups], np.int32)


def sharpened(together: Float32[ndarray, "product product"]) -> Float32[ndarray, "product product"]:
    """What is taught: co-purchase to the fifth power, the largest 1, nothing on the diagonal.

    >>> sharpened(np.array([[0, 0.4], [0.2, 0]], np.float32)).round(3)
    array([[0.   , 1.   ],
           [0.031, 0.   ]], dtype=float32)
    """
    out = together.astype(np.float32)
    np.fill_diagonal(out, 0)
    return np.asarray((out / max(float(out.max(initial=0)), 1e-9)) ** SHARPNESS)


def similarity_by_folds(
    learn: Callable[[ndarray, int], Float32[ndarray, "product width"]],
    groups: Sequence[str],
    taught: Bool[ndarray, " product"],
    folds: int,
) -> Float32[ndarray, "product product"]:
    """Likeness of every product (row) with every other (column) by learners that never saw the row's product.

    Args:
        learn: from the codes of the products that teach, and the fold left out, to vectors of all products.
        groups: by product code; folds are made of whole groups.
        taught: products that may teach; the others are compared by the mean over all folds' learners.
        folds: number of learners.
    """
    fold = fold_of_groups(groups, folds)
    out = np.zeros((len(groups), len(groups)), np.float32)
    for f in range(folds):
        vectors = unit_rows(learn(np.flatnonzero(taught & (fold != f)), f))
        mine = taught & (fold == f)
        out[mine] = vectors[mine] @ vectors.T
        out[~taught] += vectors[~taught] @ vectors.T / np.float32(folds)
    return out


def kept_vectors(
    folder: Path | None, key: Sequence[object], learn: Callable[[], Float32[ndarray, "product width"]]
) -> Float32[ndarray, "product width"]:
    """Vectors from the folder if they were learnt from the same content, else learnt and kept there.

    Args:
        folder: None keeps nothing.
        key: everything that the vectors depend on: arrays by their bytes, the rest by its text.
        learn: makes the vectors.
    """
    from safetensors.numpy import load_file, save_file

    if folder is None:
        return learn()
    content = hashlib.sha256()
    for part in key:
        content.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        content.update(b"\x00")
    path = folder / f"vectors-{content.hexdigest()[:24]}.safetensors"
    if path.exists():
        return np.asarray(load_file(path)["vectors"])
    vectors = learn()
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    save_file({"vectors": vectors}, draft)
    draft.replace(path)
    return vectors
