"""How alike two products are by name, and each candidate's likeness to a customer's past and basket.

    similarity[i, j] = cosine of the vectors of names i and j
    of a candidate j and a context of products k:  weighted mean, largest, and mean of the five largest

Two kinds of vectors: n-grams (words and character 3- to 5-grams, TF-IDF) and a sentence encoder
(`text_encoder.py`). See `docs/method/text.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32
from numpy import ndarray

from malles.errors import MissingExtra
from malles.profiles.similarity_kernels import summarise

DECAY = 0.93
"""Weight of the k-th newest product of a history is .93^k."""

TOP = 5


def ngram_vectors(names: Sequence[str], known: Bool[ndarray, " product"]) -> Any:
    """Rows of unit length: TF-IDF of words and of character 3- to 5-grams, half of the weight each.

    Args:
        names: by product code.
        known: names that the vocabulary and the frequencies may be taken from, for example those first sold
            before the cut-off; an n-gram that stands in none of them counts for nothing.

    Returns:
        scipy.sparse matrix [product, n-gram]; a name without any known n-gram is a row of zeros.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from scipy.sparse import hstack
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as error:
        raise MissingExtra("similarity of names", "scikit-learn", "text") from error
    fitted = [name for name, kept in zip(names, known, strict=True) if kept]
    parts = []
    for settings in (
        {"analyzer": "word", "token_pattern": r"\w+"},
        {"analyzer": "char_wb", "ngram_range": (3, 5)},
    ):
        vectorizer = TfidfVectorizer(lowercase=True, sublinear_tf=True, dtype=np.float32, **settings)
        vectorizer.fit(fitted)
        parts.append(vectorizer.transform(names))
    return hstack(parts, format="csr") * np.float32(np.sqrt(0.5))


def cosine_matrix(vectors: Any, *, block: int = 1024) -> Float32[ndarray, "product product"]:
    """Cosines of all pairs of rows of a dense or sparse matrix; rows of zeros are alike to nothing.

    >>> cosine_matrix(np.array([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])).round(2)
    array([[1.  , 0.71, 0.  ],
           [0.71, 1.  , 0.  ],
           [0.  , 0.  , 0.  ]], dtype=float32)
    """
    sparse = hasattr(vectors, "tocsr")
    square = vectors.multiply(vectors) if sparse else vectors * vectors
    length = np.sqrt(np.asarray(square.sum(axis=1), np.float32).reshape(-1))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
    out = np.empty((len(scale), len(scale)), np.float32)
    turned = vectors.T.tocsr() if sparse else vectors.T
    for start in range(0, len(scale), block):
        rows = vectors[start : start + block] @ turned
        out[start : start + block] = rows.toarray() if sparse else rows
    out *= scale[:, None]
    out *= scale
    return out


def unit_rows(vectors: Float32[ndarray, "product width"]) -> Float32[ndarray, "product width"]:
    """Rows at length 1; a row of zeros stays.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    length = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)


def similarity_features(
    similarity: Float32[ndarray, "product product"],
    product: Int32[ndarray, "occasion alternative"],
    context: Int32[ndarray, "occasion place"],
    *,
    decay: float = 1.0,
) -> Float32[ndarray, "occasion alternative summary"]:
    """Mean, largest and mean of the five largest similarities of every candidate with its context.

    Args:
        similarity: by product codes.
        product: candidates.
        context: product codes, newest first; negative where there is none.
        decay: the k-th place weighs decay^k in the mean.

    Returns:
        Three numbers per candidate; zeros where the context is empty.

    >>> s = np.array([[1, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1]], np.float32)
    >>> similarity_features(s, np.array([[0]], np.int32), np.array([[1, 2, -3]], np.int32)).round(3)
    array([[[0.25, 0.5 , 0.25]]], dtype=float32)
    """
    weight = decay ** np.arange(context.shape[1])
    return np.asarray(summarise(similarity, product, context, weight, TOP))
