"""The verifier finds errors that are planted in good programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from layerport.dim import Dim
from layerport.loops.index import Index
from layerport.loops.interpret import ProgramError, run
from layerport.loops.ir import (
    Body,
    Buffer,
    Call,
    Expr,
    For,
    Function,
    Let,
    Load,
    Number,
    Operation,
    Program,
    Set,
    Statement,
    Store,
    Var,
)
from layerport.loops.lowering import lower
from layerport.loops.target import Target
from layerport.loops.verify import verify
from layerport.ops import softmax
from layerport.recording import Recording


def program(batch: int = 6) -> Program:
    """A product and a softmax: a temporary, a weight, tiles with remainders."""
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 4), np.float32)
    y = softmax(np.maximum(x @ np.arange(12, dtype=np.float32).reshape(4, 3), 0))
    return lower(recording.finish([y]), Target(rows=4, columns=2, lone_columns=3), batch=batch)


def changed(good: Program, change: Callable[[Statement], Statement | None]) -> Program:
    """The program with every statement changed; None drops it."""

    def visit(body: Body) -> Body:
        done = []
        for statement in body:
            new = change(statement)
            if isinstance(new, For):
                new = replace(new, body=visit(new.body))
            if new is not None:
                done.append(new)
        return tuple(done)

    functions = tuple(replace(f, body=visit(f.body)) for f in good.functions)
    return replace(good, functions=functions)


def refuse(bad: Program, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        verify(bad)


def test_a_good_program_passes() -> None:
    verify(program(), range(1, 7))


def test_store_behind_the_end() -> None:
    def change(s: Statement) -> Statement:
        behind = isinstance(s, Store) and s.buffer.kind == "output"
        return replace(s, index=s.index + 100) if behind else s

    refuse(changed(program(), change), r"reaches from \d+ to \d+, of \d+ elements")


def test_store_before_the_start() -> None:
    def change(s: Statement) -> Statement:
        return replace(s, index=s.index - 1) if isinstance(s, Store) else s

    refuse(changed(program(), change), "reaches from -1 ")


def test_loop_that_runs_too_far() -> None:
    def change(s: Statement) -> Statement:
        return replace(s, stop=s.stop + s.step) if isinstance(s, For) else s

    refuse(changed(program(), change), "reaches from|before it is written")


def test_remainder_of_the_batch_left_out() -> None:
    def change(s: Statement) -> Statement | None:
        return None if isinstance(s, For) and s.step == 1 and s.start.terms else s

    bad = changed(program(), change)
    verify(bad, [4])
    with pytest.raises(ProgramError, match=r"batch 5: .* is read before it is written"):
        verify(bad, [5])


def test_function_not_called() -> None:
    def change(s: Statement) -> Statement | None:
        return None if isinstance(s, Call) and s.function == "f0" else s

    refuse(changed(program(), change), "is read before it is written")


def test_output_not_written() -> None:
    def change(s: Statement) -> Statement | None:
        return None if isinstance(s, Store) and s.buffer.kind == "output" else s

    refuse(changed(program(), change), "part of the output y0 is never written")


def test_overlapping_temporaries() -> None:
    good = program()
    logits, powers = sorted(good.offsets, key=lambda buffer: -buffer.size)
    # The softmax of the first row overwrites the second.
    bad = replace(good, offsets={logits: 0, powers: 3})
    refuse(bad, "is read before it is written")


def test_writing_a_weight() -> None:
    weight = program().of_kind("weight")[0]

    def change(s: Statement) -> Statement:
        if isinstance(s, Store) and s.buffer.kind == "output":
            return replace(s, buffer=weight, index=Index(0))
        return s

    refuse(changed(program(), change), "is written, but is a weight")


def alone(*body: Statement, buffers: tuple[Buffer, ...] = ()) -> Program:
    """A program of one function without inputs."""
    offsets = {b: 16 * k for k, b in enumerate(buffers)}
    function = Function("f0", (), tuple(body))
    return Program((function,), (), (), buffers, "", 1, False, offsets, 16 * len(buffers))


TABLE = Buffer("t0", 8)


def test_names_and_types() -> None:
    one = Let("v0", Number(1.0))
    refuse(alone(Set("v0", Number(1.0))), "v0 is not declared")
    refuse(alone(one, one), "v0 is declared twice")
    refuse(alone(one, Set("v0", Number(1, "i32"))), "or of another type")
    refuse(alone(Let("v1", Var("v0"))), "v0 is not declared here")
    refuse(alone(Store(TABLE, Index.variable("i0"), Number(1.0)), buffers=(TABLE,)), "i0 is no int")
    refuse(alone(Store(TABLE, Index(0), Number(1, "i32")), buffers=(TABLE,)), "holds another type")
    refuse(alone(Call("f1")), "no such function before: f1")
    refuse(alone(Call("f0")), "no such function before: f0")
    vector = Operation("splat", (Number(1.0),), "f32", 4)
    refuse(alone(Let("v0", Operation("add", (vector, Number(1.0)), "f32", 4))), "mixes vectors")
    refuse(alone(Let("v0", Operation("add", (Number(1.0),), "f32"))), "does not take 1 arguments")


def shift(step: int) -> Program:
    """``t[i + 1 + step] = t[i + 1]`` from the left to the right, t[0] and t[1] known."""
    i = Index.variable("i0")
    start = [Store(TABLE, Index(k), Number(1.0)) for k in range(2)]
    body = (Store(TABLE, i + 1 + step, Load(TABLE, i + 1)),)
    return alone(*start, For("i0", Index(0), Index(6), body), buffers=(TABLE,))


def test_recurrences() -> None:
    verify(shift(1))  # each iteration reads what the one before wrote
    refuse(shift(-1), r"t0\[2\] is read before it is written")


def test_an_index_that_is_loaded_must_be_bounded() -> None:
    places = Buffer("w0", 3, "i32", "weight", np.array([2, 0, 7], np.int32))
    unknown = Buffer("w1", 3, "i32", "weight")

    def gather(index: Expr) -> Program:
        fill = For("i0", Index(0), Index(8), (Store(TABLE, Index.variable("i0"), Number(0.0)),))
        read = Let("v1", Load(TABLE, Index.variable("v0")))
        made = alone(fill, Let("v0", index), read, buffers=(TABLE,))
        return replace(made, buffers=(TABLE, places, unknown))

    verify(gather(Load(places, Index(1))))  # its data are known
    refuse(gather(Load(unknown, Index(1))), "reaches from -2147483648")
    low = Operation("max", (Load(unknown, Index(1)), Number(0, "i32")), "i32")
    refuse(gather(low), "to 2147483647, of 8")
    verify(gather(Operation("min", (low, Number(7, "i32")), "i32")))


def test_the_interpreter_finds_the_same() -> None:
    good = program()

    def change(s: Statement) -> Statement | None:
        return None if isinstance(s, Call) and s.function == "f0" else s

    x = np.ones((2, 4), np.float32)
    run(good, [x])
    with pytest.raises(ProgramError, match="is read before it is written"):
        run(changed(good, change), [x])
