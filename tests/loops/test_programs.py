"""Programs of all operators, interpreted, against the reference evaluator in float64."""

from __future__ import annotations

from functools import cache

import layerport as lp
import numpy as np
import pytest
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from layerport.graph import Builder, Value
from layerport.loops.interpret import run
from layerport.loops.ir import Program
from layerport.loops.lowering import lower
from layerport.loops.target import Target
from layerport.loops.verify import verify
from layerport.loops.walk import expressions
from layerport.numpy_engine.reference import evaluate
from layerport.op import Op, TensorType
from layerport.ops import Mul, ReduceSum, Sub
from layerport.recording import Recording
from layerport.verification import largest_difference

from loops.cases import CASES, Case

TARGETS = {
    "plain": Target(rows=1, columns=1, lone_columns=1),
    "scalar": Target(rows=4, columns=4, lone_columns=6),
    "vectors": Target(
        lanes=4, rows=4, columns=8, lone_columns=20, packing=4, native=frozenset({"rint"})
    ),
    "odd": Target(
        lanes=2,
        rows=3,
        columns=5,
        lone_columns=7,
        unroll=4,
        overlap=True,
        native=frozenset(),
    ),
}
"""The first one leaves the nests as they were written."""


@cache
def expected(name: str, batch: int) -> list[np.ndarray]:
    case = next(case for case in CASES if case.name == name)
    feeds = {
        f"x{k}": x.astype(np.float64) if x.dtype.kind == "f" else x
        for k, x in enumerate(case.data(batch))
    }
    return evaluate(case.graph(np.float64), feeds, {})[0]


def in_blocks(program: Program, inputs: list[np.ndarray], batch: int) -> list[np.ndarray]:
    """The outputs for a batch that may be larger than the program takes at once."""
    if not program.splittable:
        return run(program, inputs)
    blocks = range(0, batch, program.batch)
    parts = [run(program, [x[start : start + program.batch] for x in inputs]) for start in blocks]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def check(case: Case, program: Program, batch: int) -> None:
    outputs = in_blocks(program, case.data(batch), batch)
    wanted = expected(case.name, batch)
    for number, (got, want) in enumerate(zip(outputs, wanted, strict=True)):
        largest, close = largest_difference([got], [want])
        assert close, f"output {number}: off by {largest}"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_program(case: Case, target: str) -> None:
    program = lower(case.graph(), TARGETS[target])
    verify(program, [1, 3, program.batch])
    check(case, program, 5)


@pytest.mark.parametrize("name", ["mlp", "cnn", "attention"])
@pytest.mark.parametrize("batch", [1, 2, 4, 9])
def test_every_batch_size(name: str, batch: int) -> None:
    case = next(case for case in CASES if case.name == name)
    check(case, lower(case.graph(), TARGETS["scalar"], batch=9), batch)


def test_vectors_are_used() -> None:
    case = next(case for case in CASES if case.name == "cnn")
    program = lower(case.graph(), TARGETS["vectors"])
    widths = {e.lanes for f in program.functions for e in expressions(f.body)}
    assert widths == {1, 4}


def test_weights_are_packed() -> None:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 3), np.float32)
    w = np.arange(24, dtype=np.float32).reshape(3, 8)
    program = lower(recording.finish([x @ w]), TARGETS["vectors"])
    (weight,) = program.of_kind("weight")
    assert weight.data is not None
    np.testing.assert_array_equal(weight.data[:8], [0, 1, 2, 3, 8, 9, 10, 11])
    (got,) = run(program, [np.eye(3, dtype=np.float32)])
    np.testing.assert_array_equal(got, w)


def functions(case_name: str) -> list[str]:
    case = next(case for case in CASES if case.name == case_name)
    return [f.note for f in lower(case.graph(), TARGETS["scalar"]).functions if f.note]


def test_bias_activation_residual_and_pooling_are_fused() -> None:
    assert functions("mlp") == ["MatMul + Add + Relu", "MatMul + Add", "Softmax"]
    assert functions("cnn")[0] == "Conv + MaxPool + Add + Relu"
    # Each convolution takes in what follows it; zeros around its operand are a nest of their own.
    assert functions("keras_cnn") == [
        "Pad", "Conv + MaxPool + Add + Relu", "Pad", "Conv + Add + Relu", "ReduceMean",
    ]  # fmt: skip


def test_concatenation_and_padding_happen_in_place() -> None:
    # The input is copied three times; results of convolutions are not.
    notes = functions("dense_block")
    assert notes.count("Conv + Relu") == 3
    assert [note for note in notes if note.startswith("copy")] == []


def test_temporaries_share_memory() -> None:
    case = next(case for case in CASES if case.name == "dense_block")
    program = lower(case.graph(), TARGETS["scalar"])
    sizes = [buffer.size for buffer in program.of_kind("temporary")]
    assert program.arena < sum(sizes)


def test_a_long_batch_is_computed_in_blocks() -> None:
    for name in ("cnn", "sequence_first"):
        case = next(case for case in CASES if case.name == name)
        check(case, lower(case.graph(), TARGETS["scalar"], batch=2), 5)


def test_mixed_batches_that_influence_each_other_are_refused() -> None:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 3, 4), np.float32)
    rows = x.transpose((1, 0, 2)).reshape((3 * x.shape[0], 4))
    graph = recording.finish([x - (rows @ rows.transpose()).max()])
    with pytest.raises(UnsupportedError, match="its samples influence each other"):
        lower(graph, TARGETS["scalar"])


def test_every_operator_without_a_nest_is_named() -> None:
    class Odd(Op):
        def infer(self, x: Value) -> list[TensorType]:
            return [TensorType(x.shape, x.dtype)]

    class Strange(Odd):
        pass

    build = Builder()
    x = build.input("x", (Dim("batch"), 3), np.float32)
    with build.scope("encoder"):
        y = build.one(Odd(), x)
    graph = build.finish([build.one(Strange(), y)])
    with pytest.raises(UnsupportedError) as caught:
        lower(graph, TARGETS["scalar"])
    assert caught.value.problems == [
        "Odd in layer 'encoder' has no loop nest",
        "Strange has no loop nest",
    ]


def test_open_extents_are_named() -> None:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), Dim("time")), np.float32)
    with pytest.raises(UnsupportedError, match="several extents open \\(batch, time\\)"):
        lower(recording.finish([x + 1]), TARGETS["scalar"])


def test_updates_write_parameters() -> None:
    """A step of gradient descent, and parameters that swap places."""
    build = Builder()
    x = build.input("x", (Dim("batch"), 2), np.float32)
    w, a, b = (build.parameter(name, (2,), np.float32) for name in "wab")
    step = build.one(ReduceSum((0,), False), build.one(Mul(), x, w))
    graph = build.finish([step], updates=[(w, build.one(Sub(), w, step)), (a, b), (b, a)])
    program = lower(graph, TARGETS["scalar"])
    verify(program)
    states = {name: np.array([k, k + 1], np.float32) for k, name in enumerate("wab")}
    (got,) = run(program, [np.ones((3, 2), np.float32)], states)
    np.testing.assert_array_equal(got, [0, 3])
    np.testing.assert_array_equal(states["w"], [0, -2])
    np.testing.assert_array_equal(states["a"], [2, 3])
    np.testing.assert_array_equal(states["b"], [1, 2])


def test_samples_are_split_only_where_they_do_not_meet() -> None:
    splittable = {case.name: lower(case.graph(), TARGETS["scalar"]).splittable for case in CASES}
    # Sums over the batch, batches as columns, positions in the whole batch (pools)...
    apart = {name for name, is_split in splittable.items() if not is_split}
    assert apart == {"over_batch", "sizes", "losses", "gradients", "gathered", "products",
                     "same_twice", "fixed_batch", "random", "pools", "recurrences"}  # fmt: skip


def test_recurrences_are_split() -> None:
    """Though their steps lie outside the samples; masks, too."""
    network = lp.Sequential(
        [
            lp.Input((6,), dtype="int32"),
            lp.Embedding(9, 3, mask_zero=True),
            lp.Bidirectional(lp.LSTM(4, return_sequences=True)),
            lp.GRU(3),
        ]
    )
    network.initialize(0)
    graph = network.lower().replay(constants=network.parameters)
    program = lower(graph, TARGETS["scalar"], batch=3)
    assert program.splittable
    ids = np.random.default_rng(0).integers(0, 9, (8, 6)).astype(np.int32)
    (got,) = in_blocks(program, [ids], 8)
    np.testing.assert_allclose(got, network.predict(ids), atol=1e-6)


def test_samples_that_fill_the_memory_alone() -> None:
    """Blocks of one sample, whose strides do not show what belongs to which sample."""
    small = Target(arena=1000)
    network = lp.Sequential([lp.Input((40, 40, 1)), lp.Conv2D(2, 3), lp.MaxPooling2D()])
    network.initialize(0)
    graph = network.lower().replay(constants=network.parameters)
    assert lower(graph, small).batch == 1
    assert lower(graph, small).splittable
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 40, 40), np.float32)
    program = lower(recording.finish([x - x.mean(axis=0)]), small)
    assert program.batch == 1
    assert not program.splittable
