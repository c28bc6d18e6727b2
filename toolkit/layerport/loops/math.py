"""Math functions from primitives, for targets that lack them.

Each works on float32 values, scalar or vector, with arithmetic, comparisons, `select`, `sqrt`,
`floor`, `rint`, casts and bit patterns alone. The polynomials were fitted for this file in float64
(smallest largest error, relative to the function). Largest errors against float64, in units in the
last place, over the float32 values of the range (tests/loops/test_math.py measures them):

    exp 1.0   expm1 1.8   log 0.8   log1p 2.4   sigmoid 2.3   tanh 2.5   erf 1.2   pow 5
    sin 4.3, cos 1.5, tan 4.3 up to |x| = 8192   asin 2.3   acos 1.3   atan 2.5
    sinh 2.1   cosh 2.8   asinh 2.6   acosh 2.5   atanh 2.9
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from layerport.loops.functions import (
    absolute,
    bit_and,
    bit_or,
    bits,
    cast,
    equal,
    floor,
    greater,
    left_shift,
    less,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    not_equal,
    right_shift,
    select,
    sqrt,
    trunc,
)
from layerport.loops.ir import (
    Body,
    Expr,
    For,
    Let,
    Names,
    Number,
    Operation,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.loops.walk import map_expr
from layerport.ops.special import NEAR_32, TAIL_32

# Coefficients, the constant one first.
_EXP = (0.4999999403953552, 0.1666651964187622, 0.041668400168418884, 0.008368851616978645,
        0.0013814318226650357)  # fmt: skip
_EXPM1 = (0.5, 0.16666541993618011, 0.04166628047823906, 0.008366711437702179,
          0.0013946667313575745)  # fmt: skip
_LOG = (0.6666678190231323, 0.3997707962989807, 0.29885193705558777)
_LONG_LOG = (0.6666666269302368, 0.40000346302986145, 0.285366028547287, 0.235963374376297)
_SIN = (-0.16666653752326965, 0.008332131430506706, -0.00019510836864355952)
_COS = (0.04166664555668831, -0.0013887305976822972, 2.4431203200947493e-05)
_ATAN = (-0.3333331346511841, 0.19998377561569214, -0.1424160599708557, 0.10578593611717224,
         -0.06037483364343643)  # fmt: skip
_ASIN = (0.16666755080223083, 0.07495196163654327, 0.045483339577913284, 0.024114463478326797,
         0.04227856174111366)  # fmt: skip

# ln 2 in two parts: multiples of the first up to 2^8 are exact.
_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.4286068203094172e-06
# pi / 2 in three parts: multiples of the first two up to 2^13 are exact.
_QUARTERS = (1.5703125, 4.837512969970703e-04, 7.549789948768648e-08)


def expand(body: Sequence[Statement], native: AbstractSet[str] | None, names: Names) -> Body:
    """Replace the functions that a target lacks.

    Parameters
    ----------
    native : the functions that it has; None for all.
    """
    if native is None:
        return tuple(body)
    done: list[Statement] = []
    for statement in body:
        if isinstance(statement, For):
            done.append(replace(statement, body=expand(statement.body, native, names)))
        elif isinstance(statement, (Let, Set, Store)):
            primitives = Primitives(native, names, done)
            done.append(replace(statement, value=map_expr(statement.value, primitives.built)))
        else:
            done.append(statement)
    return tuple(done)


def _polynomial(coefficients: Sequence[float], x: Expr) -> Expr:
    total: Expr = Number(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


class Primitives:
    """Builds functions; intermediate values become locals.

    Parameters
    ----------
    native : functions that stay as they are.
    statements : where the locals are declared.
    """

    def __init__(self, native: AbstractSet[str], names: Names, statements: list[Statement]) -> None:
        self._native = native
        self._names = names
        self._statements = statements
        self._rules: Mapping[str, Callable[..., Expr]] = {
            **{name: getattr(self, f"_{name}") for name in _BUILT},
        }

    def built(self, expr: Expr) -> Expr:
        """An operation from primitives, if it is none that the target has."""
        if not isinstance(expr, Operation) or expr.name not in self._rules:
            return expr
        if expr.name in self._native or expr.dtype != "f32":
            return expr
        return self._rules[expr.name](*map(self.let, expr.args))

    def let(self, value: Expr) -> Expr:
        """A name for a value."""
        if isinstance(value, (Var, Number)):
            return value
        statement = Let(self._names.fresh("v"), value)
        self._statements.append(statement)
        return statement.var

    def call(self, name: str, *args: Expr) -> Expr:
        """A function, native or built."""
        return self.let(self.built(Operation(name, args, "f32", max(a.lanes for a in args))))

    # Exponentials and logarithms ------------------------------------------------------------

    def _rint(self, x: Expr) -> Expr:
        whole = self.let(floor(x))
        rest = self.let(x - whole)
        even = equal(floor(whole * 0.5) * 2.0, whole)
        up = logical_or(greater(rest, 0.5), logical_and(equal(rest, 0.5), logical_not(even)))
        return select(up, whole + 1.0, whole)

    def _reduced(self, x: Expr, rest: Expr | float = 0.0) -> tuple[Expr, Expr]:
        """(k, r) such that x + rest = k ln 2 + r, r at most ln 2 / 2 in size."""
        turns = self.let(x * (1 / math.log(2)))
        k = self.call("rint", turns)
        return k, self.let(((x - k * _LN2_HIGH) - k * _LN2_LOW) + rest)

    def _power_of_two(self, k: Expr) -> tuple[Expr, Expr]:
        """Two floats whose product is 2 to the k, for k from -250 to 250."""
        whole = self.let(cast(k, "i32"))
        half = self.let(right_shift(whole, 1))
        first, second = (bits(left_shift(n + 127, 23), "f32") for n in (half, whole - half))
        return self.let(first), self.let(second)

    def _exp(self, x: Expr) -> Expr:
        return self._exp_of_sum(self.let(minimum(maximum(x, -104.0), 89.0)), 0.0)

    def _exp_of_sum(self, x: Expr, rest: Expr | float) -> Expr:
        k, r = self._reduced(x, rest)
        first, second = self._power_of_two(k)
        return ((_polynomial(_EXP, r) * r * r + r) + 1.0) * first * second

    def _expm1(self, x: Expr) -> Expr:
        inside = self.let(minimum(maximum(x, -30.0), 89.0))
        k, r = self._reduced(inside)
        first, second = self._power_of_two(k)
        part = self.let(_polynomial(_EXPM1, r) * r * r + r)
        scale = self.let(first * second)
        small = part * scale + (scale - 1.0)
        return select(less(inside, 30.0), small, (part + 1.0) * first * second)

    def _split(self, x: Expr) -> tuple[Expr, Expr]:
        """(e, f) such that x = 2^e (1 + f), 1 + f from sqrt(1/2) to sqrt(2); x is positive."""
        tiny = self.let(less(x, 2.0**-126))
        normal = self.let(select(tiny, x * 2.0**23, x))
        pattern = self.let(bits(normal, "i32"))
        # Adding the distance from sqrt(1/2) to 1 carries into the exponent.
        shifted = self.let(pattern + (0x3F800000 - 0x3F3504F3))
        exponent = right_shift(shifted, 23) - 127
        mantissa = bit_and(shifted, 0x007FFFFF) + 0x3F3504F3
        e = self.let(cast(exponent, "f32") - select(tiny, 23.0, Number(0.0)))
        return e, self.let(bits(mantissa, "f32") - 1.0)

    def _log(self, x: Expr) -> Expr:
        e, f = self._split(x)
        s = self.let(f / (f + 2.0))
        z = self.let(s * s)
        half_square = self.let(f * f * 0.5)
        # log(1 + f) = f - f^2/2 + s (f^2/2 + z P(z)): what is added to f is small.
        rest = s * (half_square + _polynomial(_LOG, z) * z)
        near = self.let((e * _LN2_LOW + rest) - half_square)
        result = e * _LN2_HIGH + (f + near)
        return self._log_edges(x, result)

    def _log_edges(self, x: Expr, result: Expr) -> Expr:
        finite = select(less(x, math.inf), result, x)  # infinity and NaN stay
        below = select(equal(x, 0.0), Number(-math.inf), Number(math.nan))
        return select(greater(x, 0.0), finite, select(not_equal(x, x), x, below))

    def _log1p(self, x: Expr) -> Expr:
        u = self.let(x + 1.0)
        # Exact but for the rounding of u, which the quotient undoes.
        grown = self.call("log", u) * (x / (u - 1.0))
        return select(equal(u, 1.0), x, select(less(x, math.inf), grown, x))

    def _sigmoid(self, x: Expr) -> Expr:
        return 1.0 / (self.call("exp", self.let(-x)) + 1.0)

    def _tanh(self, x: Expr) -> Expr:
        t = self.call("expm1", self.let(minimum(absolute(x), 20.0) * 2.0))
        return self._signed(t / (t + 2.0), x)

    def _signed(self, size: Expr, x: Expr) -> Expr:
        """`size` with the sign of x, where size is 0 or more."""
        sign = bit_and(bits(x, "u32"), 0x80000000)
        return bits(bit_or(bits(size, "u32"), sign), "f32")

    def _erf(self, x: Expr) -> Expr:
        size = self.let(absolute(x))
        near, far = self.let(minimum(size, 1.0)), self.let(minimum(size, 4.0))
        square = self.let(near * near)
        inside = near + near * _ratio(NEAR_32, square)
        outside = 1.0 - self.call("exp", self.let(-far * far)) * _ratio(TAIL_32, far)
        return self._signed(select(greater(size, 1.0), outside, inside), x)

    def _pow(self, x: Expr, y: Expr) -> Expr:
        size = self.let(absolute(x))
        high, low = self._long_log(size)
        times = self.let(minimum(maximum(y, -1e12), 1e12))
        product = self.let(times * high)
        t_high, h_high = self._upper(times), self._upper(high)
        t_low, h_low = self.let(times - t_high), self.let(high - h_high)
        error = ((t_high * h_high - product) + t_high * h_low + t_low * h_high) + t_low * h_low
        rest = self.let(error + times * low)
        inside = self.let(minimum(maximum(product, -104.0), 89.0))
        same = equal(inside, product)
        power = self.let(self._exp_of_sum(inside, self.let(select(same, rest, Number(0.0)))))
        return self._power_edges(x, y, size, power)

    def _power_edges(self, x: Expr, y: Expr, size: Expr, power: Expr) -> Expr:
        zero, infinite = Number(0.0), Number(math.inf)
        up = self.let(greater(y, 0.0))
        at_zero, at_infinity = select(up, zero, infinite), select(up, infinite, zero)
        value = select(equal(size, 0.0), at_zero, select(equal(size, math.inf), at_infinity, power))
        value = self.let(select(equal(size, 1.0), Number(1.0), value))
        whole = self.let(equal(trunc(y), y))
        odd = logical_and(whole, not_equal(trunc(y * 0.5) * 2.0, y))
        negative = self.let(less(x, 0.0))
        signed = select(logical_and(negative, odd), -value, value)
        lost = logical_and(logical_and(negative, logical_not(whole)), less(size, math.inf))
        result = select(lost, Number(math.nan), signed)
        unknown = logical_or(not_equal(x, x), not_equal(y, y))
        result = select(unknown, x + y, result)
        return select(logical_or(equal(y, 0.0), equal(x, 1.0)), Number(1.0), result)

    def _upper(self, x: Expr) -> Expr:
        """The upper 12 bits of the significand: products of two such are exact."""
        return self.let(bits(bit_and(bits(x, "u32"), 0xFFFFF000), "f32"))

    def _long_log(self, x: Expr) -> tuple[Expr, Expr]:
        """log(x) as a sum of two floats; x is positive."""
        e, f = self._split(x)
        divisor = self.let(f + 2.0)
        s = self.let(f / divisor)
        s_high, d_high = self._upper(s), self._upper(divisor)
        d_low = (2.0 - d_high) + f
        rest = ((f - s_high * d_high) - s_high * d_low) - (s - s_high) * divisor
        z = self.let(s * s)
        tail = (rest / divisor) * 2.0 + s * (_polynomial(_LONG_LOG, z) * z)
        head = self.let(e * _LN2_HIGH)
        double = self.let(s * 2.0)
        total = self.let(head + double)
        # What the sum lost: the larger one of the two is e ln 2 unless e is 0.
        lost = self.let((head - total) + double)
        low = self.let((lost + e * _LN2_LOW) + tail)
        high = self.let(total + low)
        return high, self.let(low - (high - total))

    # Trigonometric functions ----------------------------------------------------------------

    def _quarter(self, x: Expr) -> tuple[Expr, Expr, Expr]:
        """(quadrant, sine, cosine) of the angle that is left after whole quarters of a turn."""
        k = self.call("rint", self.let(x * (2 / math.pi)))
        r = self.let(((x - k * _QUARTERS[0]) - k * _QUARTERS[1]) - k * _QUARTERS[2])
        z = self.let(r * r)
        sine = self.let(_polynomial(_SIN, z) * z * r + r)
        cosine = self.let((_polynomial(_COS, z) * z * z - z * 0.5) + 1.0)
        return self.let(cast(k, "i32")), sine, cosine

    def _turned(self, quadrant: Expr, own: Expr, other: Expr) -> Expr:
        value = self.let(select(equal(bit_and(quadrant, 1), 0), own, other))
        return select(equal(bit_and(quadrant, 2), 0), value, -value)

    def _sin(self, x: Expr) -> Expr:
        quadrant, sine, cosine = self._quarter(x)
        return self._turned(quadrant, sine, cosine)

    def _cos(self, x: Expr) -> Expr:
        quadrant, sine, cosine = self._quarter(x)
        return self._turned(self.let(quadrant + 1), sine, cosine)

    def _tan(self, x: Expr) -> Expr:
        quadrant, sine, cosine = self._quarter(x)
        even = self.let(equal(bit_and(quadrant, 1), 0))
        return select(even, sine, -cosine) / select(even, cosine, sine)

    def _atan(self, x: Expr) -> Expr:
        size = self.let(absolute(x))
        far, middle = self.let(greater(size, 2.414213562373095)), self.let(greater(size, 0.4142135))
        shifted = select(middle, (size - 1.0) / (size + 1.0), size)
        t = self.let(select(far, -1.0 / size, shifted))
        base = select(far, Number(math.pi / 2), select(middle, math.pi / 4, Number(0.0)))
        z = self.let(t * t)
        return self._signed(self.let(base + (_polynomial(_ATAN, z) * z * t + t)), x)

    def _half_angle(self, x: Expr) -> tuple[Expr, Expr, Expr]:
        """(whether |x| is above 1/2, argument, arcsine of it): the argument is at most 1/2."""
        size = self.let(absolute(x))
        big = self.let(greater(size, 0.5))
        square = self.let(select(big, (1.0 - size) * 0.5, size * size))
        t = self.let(select(big, sqrt(square), size))
        return big, t, self.let(_polynomial(_ASIN, square) * square * t + t)

    def _asin(self, x: Expr) -> Expr:
        big, _, angle = self._half_angle(x)
        return self._signed(self.let(select(big, math.pi / 2 - angle * 2.0, angle)), x)

    def _acos(self, x: Expr) -> Expr:
        big, _, angle = self._half_angle(x)
        negative = self.let(less(x, 0.0))
        near = math.pi / 2 - select(negative, -angle, angle)
        far = select(negative, math.pi - angle * 2.0, angle * 2.0)
        return select(big, far, near)

    # Hyperbolic functions -------------------------------------------------------------------

    def _sinh(self, x: Expr) -> Expr:
        size = self.let(absolute(x))
        t = self.call("expm1", self.let(minimum(size, 88.0)))
        beyond = self._half_exp(size)
        return self._signed(select(less(size, 88.0), (t + t / (t + 1.0)) * 0.5, beyond), x)

    def _cosh(self, x: Expr) -> Expr:
        half = self._half_exp(self.let(absolute(x)))
        return half + 0.25 / half

    def _half_exp(self, x: Expr) -> Expr:
        """exp(x) / 2, which overflows later than exp(x)."""
        root = self.call("exp", self.let(x * 0.5))
        return self.let(root * 0.5 * root)

    def _asinh(self, x: Expr) -> Expr:
        size = self.let(absolute(x))
        small = self.let(minimum(size, 1e18))
        square = self.let(small * small)
        grown = small + square / (sqrt(square + 1.0) + 1.0)
        near = self.call("log1p", self.let(grown))
        far = self.call("log", size) + math.log(2)
        return self._signed(self.let(select(less(size, 1e18), near, far)), x)

    def _acosh(self, x: Expr) -> Expr:
        t = self.let(x - 1.0)
        near = self.call("log1p", self.let(t + sqrt(t * 2.0 + t * t)))
        far = self.call("log", x) + math.log(2)
        return select(less(x, 1e18), near, far)

    def _atanh(self, x: Expr) -> Expr:
        size = self.let(absolute(x))
        grown = self.call("log1p", self.let(size * 2.0 / (1.0 - size)))
        return self._signed(self.let(grown * 0.5), x)


def _ratio(rational: tuple[Sequence[float], Sequence[float]], x: Expr) -> Expr:
    top, bottom = (_polynomial(coefficients[::-1], x) for coefficients in rational)
    return top / bottom


_BUILT = (
    *("rint", "exp", "expm1", "log", "log1p", "sigmoid", "tanh", "erf", "pow"),
    *("sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "asinh", "acosh", "atanh"),
)
"""What can be built."""
