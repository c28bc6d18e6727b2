"""Printed JavaScript, run in Node: every operator, every way of calling, hostile names."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.views import Batch
from layerport.recording import Recording
from layerport.verification import largest_difference
from layerport_formats.javascript.artefact import print_javascript
from layerport_formats.javascript.node import find_node

from hostile import EVIL_NAMES
from loops.cases import CASES, Case
from loops.test_programs import expected

NODE = find_node()
ENGINES = ("auto", "wasm", "js")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not on this machine")


def module(graph: Graph, **options: Any) -> tuple[str, str]:
    """Print a graph; ports are taken from the graph."""
    batch = Batch("batch", "n", 1)

    def ports(values: Sequence[Any], names: Sequence[str]) -> list[Any]:
        return [
            (
                name,
                [None if not isinstance(e, int) else e for e in batch.sizes(v.shape)],
                str(v.dtype),
            )
            for name, v in zip(names, values, strict=True)
        ]

    return print_javascript(
        graph,
        inputs=ports(graph.inputs, [v.name for v in graph.inputs]),
        outputs=ports(graph.outputs, graph.output_names),
        **options,
    )


def run_node(folder: Path, script: str) -> Any:
    """What a script writes as JSON."""
    path = folder / "script.mjs"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [str(NODE), str(path)], capture_output=True, text=True, cwd=folder, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Every operator -------------------------------------------------------------------------------

_RUN_ALL = """
import { readFileSync, readdirSync } from "node:fs";
const plain = (x) => Array.from(x, (v) => (Number.isFinite(v) ? v : String(v)));
const results = {};
for (const file of readdirSync(".").filter((name) => name.endsWith(".json"))) {
  const name = file.replace(".json", "");
  try {
    const model = await import(`./${name}.mjs`);
    const given = JSON.parse(readFileSync(file));
    const made = model.predict(Object.fromEntries(model.inputs.map((p, k) => [p.name, given[k]])));
    const listed = model.outputs.length === 1 ? [made] : model.outputs.map((p) => made[p.name]);
    results[name] = { outputs: listed.map(plain), check: model.selfTest() };
  } catch (error) {
    results[name] = { error: String(error.stack) };
  }
}
console.log(JSON.stringify(results));
"""


@pytest.fixture(scope="session", params=("wasm", "js"))
def node_results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    """The outputs of all cases, of one run of Node."""
    folder = tmp_path_factory.mktemp("modules")
    for case in CASES:
        inputs, outputs = case.data(), expected(case.name, 5)
        options = {"golden": (inputs, outputs, 1e-5), "name": case.name, "engine": request.param}
        text, _ = module(case.graph(), **options)
        (folder / f"{case.name}.mjs").write_text(text, encoding="ascii")
        flat = [array.reshape(-1).tolist() for array in inputs]
        (folder / f"{case.name}.json").write_text(json.dumps(flat))
    results: Mapping[str, Any] = run_node(folder, _RUN_ALL)
    return results


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, node_results: Mapping[str, Any]) -> None:
    result = node_results[case.name]
    assert "error" not in result, result["error"]
    wanted = expected(case.name, 5)
    for number, (got, want) in enumerate(zip(result["outputs"], wanted, strict=True)):
        array = np.array([float(v) for v in got]).reshape(want.shape)
        largest, close = largest_difference([array], [want])
        assert close, f"output {number}: off by {largest}"
    assert result["check"]["ok"], result["check"]


# Ways of calling ------------------------------------------------------------------------------


def double_and_sum() -> Graph:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 2, 3), np.float32)
    return recording.finish([x * 2], ["double"])


@pytest.fixture(scope="session", params=ENGINES)
def calls(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    """What calls of predict give: a value, or the error."""
    folder = tmp_path_factory.mktemp("calls")
    engine = request.param
    golden = ([np.ones((2, 2, 3), np.float32)], [np.full((2, 2, 3), 2.0, np.float32)], 1e-5)
    text, _ = module(double_and_sum(), golden=golden, labels=["a", "b"], engine=engine)
    (folder / "one.mjs").write_text(text)
    wrong = ([np.ones((1, 2, 3), np.float32)], [np.ones((1, 2, 3), np.float32)], 1e-5)
    (folder / "wrong.mjs").write_text(module(double_and_sum(), golden=wrong, engine=engine)[0])
    recording = Recording()
    batch = Dim("batch")
    x = recording.input("x", (batch, 2), np.float32)
    i = recording.input("i", (batch,), np.int64)
    b = recording.input("b", (batch, 1), np.bool_)
    outputs = [x + i.reshape((batch, 1)), i * 3, np.logical_not(b)]
    graph = recording.finish(outputs, ["p", "q", "r"])
    (folder / "three.mjs").write_text(module(graph, engine=engine)[0])
    recording = Recording()
    x = recording.input("x", (batch, 4), np.float32)
    graph = recording.finish([x - x.mean(axis=0)])
    (folder / "mean.mjs").write_text(module(graph, engine=engine)[0])
    results: Mapping[str, Any] = run_node(folder, _CALLS)
    assert not list(folder.glob("PWNED*"))
    return results


_CALLS = """
import one, { predict, inputs, outputs, labels, selfTest } from "./one.mjs";
import wrong from "./wrong.mjs";
import three from "./three.mjs";
import mean from "./mean.mjs";
const show = (x) => x instanceof Object && ArrayBuffer.isView(x)
  ? { [x.constructor.name]: Array.from(x, (v) => (Number.isNaN(v) ? "NaN" : v)) } : x;
const results = {};
const call = (name, run) => {
  try {
    const made = run();
    const named = made && Object.getPrototypeOf(made) === Object.prototype;
    results[name] = named
      ? Object.fromEntries(Object.entries(made).map(([k, v]) => [k, show(v)])) : show(made);
  } catch (error) {
    results[name] = `${error.name}: ${error.message}`;
  }
};
const six = [1, 2, 3, 4, 5, 6];
const rows = [[1, 2, 3], [4, 5, 6]];
call("flat list", () => predict(six));
call("typed", () => predict(new Float32Array(six)));
call("float64", () => predict(new Float64Array(six)));
call("bytes", () => predict(new Uint8Array(six)));
call("two flat", () => predict([...six, ...six]).length);
call("many flat", () => { const x = new Float32Array(6 * 1000).fill(1); const y = predict(x);
  return [y.length, y.every((v) => v === 2)]; });
call("nested sample", () => predict(rows));
call("nested batch", () => predict([rows, rows, rows]));
call("list of typed", () => predict([new Float32Array(six), new Float32Array(six)]));
call("typed rows", () => predict([[new Float32Array([1, 2, 3]), [4, 5, 6]]]));
call("by name", () => predict({ x: six }));
call("untouched", () => { const x = new Float32Array(six); predict(x); return Array.from(x); });
call("NaN", () => predict([NaN, 2, 3, 4, 5, 6]));
call("not shared", () => { const a = predict(six); predict([0, 0, 0, 0, 0, 0]); return a; });
call("wrong length", () => predict([1, 2, 3]));
call("empty", () => predict([]));
call("string", () => predict("abcdef"));
call("nothing", () => predict());
call("null", () => predict(null));
call("number", () => predict(3));
call("string inside", () => predict([1, 2, "3", 4, 5, 6]));
call("null inside", () => predict([1, 2, null, 4, 5, 6]));
call("list inside", () => predict([1, 2, [3], 4, 5, 6]));
call("ragged", () => predict([[1, 2, 3], [4, 5]]));
call("deep", () => predict([[[[1]]]]));
call("wrong name", () => predict({ y: six }));
call("DataView", () => predict(new DataView(new ArrayBuffer(24))));
call("ports", () => JSON.stringify([inputs, outputs, labels]));
call("default", () => Object.keys(one));
call("self test", () => selfTest());
call("wrong self test", () => wrong.selfTest());
call("three", () => three.predict({ x: [1, 2, 3, 4], i: [1, 2], b: [true, false] }));
call("three big", () => three.predict({ x: [1, 2], i: BigInt64Array.of(7n), b: [1] }));
call("three nested", () => three.predict({ x: [[1, 2], [3, 4]], i: [1, 2], b: [[true], [false]] }));
call("three missing", () => three.predict({ x: [1, 2], i: [1] }));
call("three flat", () => three.predict([1, 2]));
call("three uneven", () => three.predict({ x: [1, 2, 3, 4], i: [1], b: [true] }));
call("fraction", () => three.predict({ x: [1, 2], i: [1.5], b: [true] }));
call("too big", () => three.predict({ x: [1, 2], i: [2 ** 40], b: [true] }));
call("no self test", () => typeof three.selfTest);
call("mean", () => mean.predict([1, 1, 1, 1, 3, 3, 3, 3]));
call("mean many", () => mean.predict(new Float32Array(4 * 300)));
console.log(JSON.stringify(results));
"""

TWICE = [2, 4, 6, 8, 10, 12]
NESTED = [[2, 4, 6], [8, 10, 12]]
GIVEN = {
    "flat list": {"Float32Array": TWICE},
    "typed": {"Float32Array": TWICE},
    "float64": {"Float32Array": TWICE},
    "bytes": {"Float32Array": TWICE},
    "two flat": 12,
    "many flat": [6000, True],
    "nested sample": NESTED,
    "nested batch": [NESTED, NESTED, NESTED],
    "list of typed": [NESTED, NESTED],
    "typed rows": [NESTED],
    "by name": {"Float32Array": TWICE},
    "untouched": [1, 2, 3, 4, 5, 6],
    "NaN": {"Float32Array": ["NaN", *TWICE[1:]]},
    "not shared": {"Float32Array": TWICE},
    "default": ["predict", "inputs", "outputs", "labels", "engine", "selfTest"],
    "self test": {"ok": True, "maxDifference": 0},
    "wrong self test": {"ok": False, "maxDifference": 1},
    "three": {"p": {"Float32Array": [2, 3, 5, 6]}, "q": {"Int32Array": [3, 6]},
              "r": {"Uint8Array": [0, 1]}},
    "three big": {"p": {"Float32Array": [8, 9]}, "q": {"Int32Array": [21]},
                  "r": {"Uint8Array": [0]}},
    "three nested": {"p": [[2, 3], [5, 6]], "q": [3, 6], "r": [[0], [1]]},
    "no self test": "undefined",
    "mean": {"Float32Array": [-1, -1, -1, -1, 1, 1, 1, 1]},
}  # fmt: skip
REFUSED = {
    "wrong length": 'RangeError: input "x": 3 numbers are no whole number of samples',
    "empty": 'RangeError: input "x": 0 numbers',
    "string": 'TypeError: input "x": expected a typed array or (nested) array, got string',
    "nothing": 'TypeError: input "x": expected a typed array or (nested) array, got undefined',
    "null": 'TypeError: input "x": expected a typed array or (nested) array, got null',
    "number": 'TypeError: input "x": expected a typed array or (nested) array, got number',
    "string inside": 'TypeError: input "x": expected a number at position 2, got string',
    "null inside": 'TypeError: input "x": expected a number at position 2, got null',
    "list inside": 'TypeError: input "x": expected a number at position 2, got a list',
    "ragged": 'RangeError: input "x": 2 numbers where [3] has 3',
    "deep": 'RangeError: input "x": a list of 1 lists where [2, 3] was expected',
    "wrong name": 'TypeError: this model has no input "y"',
    "DataView": 'TypeError: input "x": expected a typed array or (nested) array, got object',
    "three missing": 'TypeError: the input "b" is missing',
    "three flat": 'TypeError: this model takes an object with the inputs "x", "i", "b"',
    "three uneven": "RangeError: the inputs have 2 and 1 samples",
    "fraction": 'TypeError: input "i": expected an integer at position 0, got 1.5',
    "too big": 'RangeError: input "i": 1099511627776 at position 0 does not fit into 32 bits',
    "mean many": "RangeError: this model takes at most 256 samples at once, not 300",
}  # fmt: skip


@pytest.mark.parametrize("name", GIVEN)
def test_call(name: str, calls: Mapping[str, Any]) -> None:
    assert calls[name] == GIVEN[name]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_call(name: str, calls: Mapping[str, Any]) -> None:
    assert str(calls[name]).startswith(REFUSED[name])


def test_ports(calls: Mapping[str, Any]) -> None:
    inputs, outputs, labels = json.loads(calls["ports"])
    assert inputs == [{"name": "x", "shape": [None, 2, 3], "dtype": "float32"}]
    assert outputs == [{"name": "double", "shape": [None, 2, 3], "dtype": "float32"}]
    assert labels == ["a", "b"]


# NaN, names, refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["wasm", "js"])
def test_nan_survives(engine: str, tmp_path: Path) -> None:
    for name in ("cnn", "pools", "mlp", "softmaxes", "layer_normalized"):
        case = next(case for case in CASES if case.name == name)
        (tmp_path / f"{name}.mjs").write_text(module(case.graph(), engine=engine)[0])
    found = run_node(
        tmp_path,
        """
        const results = {};
        for (const name of ["cnn", "pools", "mlp", "softmaxes", "layer_normalized"]) {
          const model = await import(`./${name}.mjs`);
          const size = model.inputs[0].shape.slice(1).reduce((a, b) => a * b, 1);
          const made = model.predict(new Float32Array(size).fill(NaN));
          const listed = made instanceof Float32Array ? [made] : Object.values(made);
          results[name] = listed.map((y) => !(y instanceof Float32Array) || y.every(Number.isNaN));
        }
        console.log(JSON.stringify(results));
        """,
    )
    assert all(all(outputs) for outputs in found.values()), found


@pytest.mark.parametrize("engine", ENGINES)
def test_hostile_names(engine: str, tmp_path: Path) -> None:
    recording = Recording()
    batch = Dim("batch")
    xs = [recording.input(name, (batch, 1), np.float32) for name in EVIL_NAMES]
    made = []
    for name, x in zip(EVIL_NAMES, xs, strict=True):
        with recording.builder.scope(name):
            made.append(ops.relu(x * 2 + 1))
    graph = recording.finish(made, EVIL_NAMES)
    golden = ([np.ones((1, 1), np.float32)] * len(xs), [np.full((1, 1), 3.0)] * len(xs), 1e-5)
    text, types = module(graph, labels=EVIL_NAMES, golden=golden, name=EVIL_NAMES[0], engine=engine)
    for written in (text, types):
        written.encode("ascii")
        assert "</script" not in written
        assert "<!" not in written
        assert "-->" not in written
    (tmp_path / "model.mjs").write_text(text)
    (tmp_path / "names.json").write_text(json.dumps(EVIL_NAMES))
    found = run_node(
        tmp_path,
        """
        import { readFileSync } from "node:fs";
        import * as model from "./model.mjs";
        const names = JSON.parse(readFileSync("names.json"));
        const made = model.predict(Object.fromEntries(names.map((name, k) => [name, [k]])));
        const sum = names.map((name, k) => made[name][0] === 2 * k + 1);
        const listed = [model.inputs, model.outputs].map((ports) => ports.map((p) => p.name));
        console.log(JSON.stringify([sum, ...listed, model.labels, model.selfTest().ok]));
        """,
    )
    assert found == [[True] * len(EVIL_NAMES), EVIL_NAMES, EVIL_NAMES, EVIL_NAMES, True]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.mjs", "names.json", "script.mjs",
    ]  # fmt: skip


def test_open_extents_are_refused() -> None:
    recording = Recording()
    x = recording.input("image", (Dim("batch"), Dim("height"), 3), np.float32)
    graph = recording.finish([x + 1])
    port = ((None, None, 3), "float32")
    with pytest.raises(UnsupportedError, match="the input 'image' has the shape"):
        print_javascript(graph, inputs=[("image", *port)], outputs=[("y", *port)])


def test_missing_weights_are_refused() -> None:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 2), np.float32)
    recording.builder.parameter("dense/kernel", (2, 2), np.float32)
    with pytest.raises(UnsupportedError, match="'dense/kernel' have no values"):
        module(recording.finish([x + 1]))


def test_declarations() -> None:
    _, types = module(double_and_sum())
    assert 'predict(x: Flat | { "x": Flat }): Float32Array;' in types
    assert "selfTest" not in types
