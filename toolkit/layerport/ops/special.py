"""Functions of arrays that NumPy lacks, or whose textbook formula overflows.

All of them keep the dtype of a floating-point array, propagate NaN and raise no floating-point
warning for finite arguments.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from layerport.op import NDArray

# erf(x) = x + x * R(x^2) for |x| <= 1, and 1 - exp(-x^2) * T(|x|) beyond, with rational functions
# R and T as in W. J. Cody, "Rational Chebyshev approximations for the error function",
# Mathematics of Computation 23 (1969), 631-637. Cody's intervals meet at 0.47, where the second
# form loses two bits; these coefficients, (top, bottom) with the highest power first, were fitted
# in 60 digits for intervals that meet at 1. Largest errors: R 7e-19 (float64), 2.4e-9 (float32);
# exp(-x^2) * T 1.3e-18, 1.7e-10.
_Rational: TypeAlias = "tuple[tuple[float, ...], tuple[float, ...]]"

_NEAR_64: _Rational = (
    (
        -2.0713276047465353e-05,
        -0.0004951980507547428,
        -0.008812970810908972,
        -0.048312523583882126,
        -0.31701301017429756,
        0.1283791670955126,
    ),
    (
        2.0787537205280144e-05,
        0.0006919975814948556,
        0.010688154288985743,
        0.09378816119549396,
        0.4604592800758749,
        1.0,
    ),
)
_TAIL_64: _Rational = (
    (
        0.008930294784640818,
        0.08434883878732335,
        0.3735993079766899,
        0.9495211307546838,
        1.390577973606033,
        0.9999998870349642,
    ),
    (
        0.01582865786340109,
        0.14950051833392314,
        0.6701613241863466,
        1.7571587650230784,
        2.791864527077997,
        2.5189559506026544,
        1.0,
    ),
)
NEAR_32: _Rational = (
    (-0.001345677244, -0.01451865472, -0.3310098039, 0.1283791647),
    (0.03760969547, 0.3514307964, 1.0),
)
TAIL_32: _Rational = (
    (0.2464056221, 0.7619832574, 1.001031874),
    (0.4354718966, 1.367009731, 1.896999043, 1.0),
)


def _ratio(rational: _Rational, x: NDArray) -> NDArray:
    top, bottom = (_polynomial(coefficients, x) for coefficients in rational)
    return top / bottom


def _polynomial(coefficients: tuple[float, ...], x: NDArray) -> NDArray:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total


def erf(x: NDArray) -> NDArray:
    """The error function, to within 1 (float64) or 1.3 (float32) units in the last place."""
    single = x.dtype.itemsize <= 4
    size = np.abs(x)
    near = np.minimum(size, 1)
    far = np.minimum(size, 4 if single else 6)  # from there on erf is 1
    inside = near + near * _ratio(NEAR_32 if single else _NEAR_64, near * near)
    outside = 1 - np.exp(-far * far) * _ratio(TAIL_32 if single else _TAIL_64, far)
    return np.asarray(np.copysign(np.where(size > 1, outside, inside), x))


def sigmoid(x: NDArray) -> NDArray:
    """1 / (1 + exp(-x)), accurate on both sides and without overflow."""
    small = np.exp(-np.abs(x))
    # x < 0 is false for NaN, which small carries.
    return np.asarray(np.where(x < 0, small, 1) / (1 + small))


def softplus(x: NDArray) -> NDArray:
    """log(1 + exp(x)) without overflow."""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def log_sum_exp(x: NDArray, axes: tuple[int, ...]) -> NDArray:
    """log(sum(exp(x))) over `axes`, which are kept with extent 1, without overflow."""
    limits = np.finfo(x.dtype)
    # An infinite maximum must not be subtracted: inf - inf is NaN where the result is not.
    highest = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    shift = np.clip(highest, limits.min, limits.max)
    with np.errstate(divide="ignore"):  # log(0), where there is nothing but -inf
        return np.asarray(np.log(np.sum(np.exp(x - shift), axis=axes, keepdims=True)) + shift)


def softmax(x: NDArray, axis: int) -> NDArray:
    """exp(x) / sum(exp(x)) along an axis, without overflow."""
    powers = np.exp(_below_maximum(x, axis))
    powers /= np.sum(powers, axis=axis, keepdims=True)
    return powers


def log_softmax(x: NDArray, axis: int) -> NDArray:
    """log(softmax(x)) along an axis, without overflow."""
    low = _below_maximum(x, axis)
    low -= np.log(np.sum(np.exp(low), axis=axis, keepdims=True))
    return low


def _below_maximum(x: NDArray, axis: int) -> NDArray:
    lowest = -np.inf  # what an empty axis has for a maximum
    return np.asarray(x - np.max(x, axis=axis, keepdims=True, initial=lowest))
