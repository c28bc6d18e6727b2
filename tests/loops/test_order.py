"""Products of a tile in the order that needs the fewest registers."""

from __future__ import annotations

from layerport.loops.index import Index
from layerport.loops.ir import Body, Buffer, Load, Number, Operation, Set, Var
from layerport.loops.order import order_products

X, W = Buffer("x", 64, "f32"), Buffer("w", 64, "f32")


def product(name: str, row: int, column: int) -> Set:
    factors = (
        Operation("splat", (Load(X, Index.of(row)),), "f32", 4),
        Load(W, Index.of(4 * column), 4),
    )
    term = Operation("mul", factors, "f32", 4)
    return Set(name, Operation("add", (Var(name, "f32", 4), term), "f32", 4))


def names(body: Body) -> list[str]:
    return [statement.name for statement in body if isinstance(statement, Set)]


def test_what_there_is_more_of_is_used_up_first() -> None:
    tall = [product(f"s{row}{column}", row, column) for column in range(2) for row in range(3)]
    assert names(order_products(tall)) == ["s00", "s01", "s10", "s11", "s20", "s21"]
    wide = [product(f"s{row}{column}", row, column) for row in range(2) for column in range(3)]
    assert names(order_products(wide)) == ["s00", "s10", "s01", "s11", "s02", "s12"]


def test_a_sum_keeps_the_order_of_its_terms() -> None:
    body = [product("a", 1, 0), product("b", 0, 0), product("a", 0, 1), product("b", 1, 1)]
    made = order_products(body)
    for name in "ab":
        assert [s for s in made if isinstance(s, Set) and s.name == name] == [
            s for s in body if s.name == name
        ]


def test_a_factor_that_is_computed_stays_where_it_is() -> None:
    whole = Operation("splat", (Var("a", "f32"),), "f32", 4)
    term = Operation("mul", (whole, Load(W, Index.of(0), 4)), "f32", 4)
    reader = Set("b", Operation("add", (Var("b", "f32", 4), term), "f32", 4))
    body = [product("c", 1, 0), reader, product("d", 0, 0), product("e", 1, 0)]
    assert order_products(body)[1] is reader
    other = Set("x", Operation("add", (Var("x", "f32"), Number(1.0)), "f32"))
    assert order_products([other]) == (other,)
