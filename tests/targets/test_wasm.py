"""WebAssembly in Node: every operator, integers and edges, names, sizes, engines side by side."""

from __future__ import annotations

import gzip
import json
import re
import struct
import subprocess
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import UnsupportedError
from layerport.graph import Graph
from layerport.loops.views import Batch
from layerport.recording import Recording
from layerport.verification import largest_difference
from layerport_formats.javascript.minify import minified, reachable, selected
from layerport_formats.javascript.node import find_node
from layerport_formats.javascript.parts import Model
from layerport_formats.javascript.text import text_of
from layerport_formats.wasm.artefact import print_wasm
from layerport_formats.wasm.binary import signed, unsigned

from loops.cases import CASES, Case
from loops.test_javascript import EVIL_NAMES
from loops.test_programs import expected

NODE = find_node()
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not on this machine")


def run_node(folder: Path, script: str) -> Any:
    """What a script writes as JSON."""
    path = folder / "script.mjs"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [str(NODE), str(path)], capture_output=True, text=True, cwd=folder, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def write(graph: Graph, folder: Path, name: str) -> None:
    """A graph as .wasm and .mjs."""
    batch = Batch("batch", "n", 1)

    def ports(values: Sequence[Any], names: Sequence[str]) -> list[Any]:
        return [
            (n, [e if isinstance(e, int) else None for e in batch.sizes(v.shape)], str(v.dtype))
            for n, v in zip(names, values, strict=True)
        ]

    inputs = ports(graph.inputs, [value.name for value in graph.inputs])
    model = Model(graph, inputs, ports(graph.outputs, graph.output_names))
    made = print_wasm(model, name=name, file_name=f"{name}.wasm")
    (folder / f"{name}.wasm").write_bytes(made.binary)
    (folder / f"{name}.mjs").write_text(made.glue, encoding="ascii")


# Every operator -------------------------------------------------------------------------------

_RUN_ALL = """
import { readFileSync, readdirSync } from "node:fs";
const plain = (x) => Array.from(x, (v) => (Number.isFinite(v) ? v : String(v)));
const results = {};
for (const file of readdirSync(".").filter((name) => name.endsWith(".json"))) {
  const name = file.replace(".json", "");
  try {
    if (!WebAssembly.validate(readFileSync(`${name}.wasm`))) throw new Error("not valid");
    const model = await import(`./${name}.mjs`);
    const given = JSON.parse(readFileSync(file));
    const numbers = given.map((list) => list.map(Number));
    const named = Object.fromEntries(model.inputs.map((port, k) => [port.name, numbers[k]]));
    const made = model.predict(named);
    const listed = model.outputs.length === 1 ? [made] : model.outputs.map((p) => made[p.name]);
    results[name] = { outputs: listed.map(plain) };
  } catch (error) {
    results[name] = { error: String(error.stack) };
  }
}
console.log(JSON.stringify(results));
"""


def run_all(graphs: Mapping[str, tuple[Graph, Sequence[np.ndarray]]], folder: Path) -> Any:
    """The outputs of all graphs, of one run of Node."""
    for name, (graph, inputs) in graphs.items():
        write(graph, folder, name)
        flat = [[str(v) for v in array.reshape(-1).tolist()] for array in inputs]
        text = json.dumps(flat).replace("True", "1").replace("False", "0")
        (folder / f"{name}.json").write_text(text.replace("inf", "Infinity"))
    return run_node(folder, _RUN_ALL)


def numbers(listed: Sequence[Any]) -> np.ndarray:
    return np.array([float(v) for v in listed])


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("wasm")
    return run_all({case.name: (case.graph(), case.data()) for case in CASES}, folder)


@needs_node
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, results: Any) -> None:
    result = results[case.name]
    assert "error" not in result, result["error"]
    for number, (got, want) in enumerate(
        zip(result["outputs"], expected(case.name, 5), strict=True)
    ):
        largest, close = largest_difference([numbers(got).reshape(want.shape)], [want])
        assert close, f"output {number}: off by {largest}"


# Integers and edges: expected values are what C and IEEE 754 say ------------------------------

INTEGERS = np.array([0, 1, -1, 2, 7, -7, 100, -(2**31), 2**31 - 1, -(2**31) + 1])


def truncated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C's division; by 0 it gives 0."""
    quotient = np.where(b == 0, 0, np.trunc(a / np.where(b == 0, 1, b)).astype(np.int64))
    return ((quotient + 2**31) % 2**32) - 2**31


@needs_node
@pytest.mark.parametrize("width", [1, 100], ids=["alone", "in vectors"])
def test_integers(width: int, tmp_path: Path) -> None:
    a, b = (x.reshape(-1, width).astype(np.int64) for x in np.meshgrid(INTEGERS, INTEGERS))
    recording = Recording()
    x, y = (recording.input(n, (Dim("batch"), width), np.int32) for n in "xy")
    made = [ops.Div()(x, y), ops.Mod(1)(x, y), np.maximum(x, y), np.minimum(x, y), np.abs(x), -x,
            x * y]  # fmt: skip
    graph = recording.finish(made, list("abcdefg"))
    found = run_all({"integers": (graph, [a, b])}, tmp_path)["integers"]
    assert "error" not in found, found["error"]

    def wrapped(v: np.ndarray) -> np.ndarray:
        return ((v + 2**31) % 2**32) - 2**31

    quotient = truncated(a, b)
    rest = np.where(b == 0, 0, np.where(b == -1, 0, a - quotient * b))
    wanted = [quotient, rest, np.maximum(a, b), np.minimum(a, b), wrapped(np.abs(a)), wrapped(-a),
              wrapped(a * b)]  # fmt: skip
    for name, got, want in zip("abcdefg", found["outputs"], wanted, strict=True):
        np.testing.assert_array_equal(numbers(got).reshape(a.shape), want, f"output {name}")


@needs_node
@pytest.mark.parametrize("width", [1, 40], ids=["alone", "in vectors"])
def test_remainder_of_floats(width: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sizes = 10.0 ** random.uniform(-44, 38, (2, 4000))
    a, b = (sizes * random.choice([-1, 1], (2, 4000))).astype(np.float32)
    a[:8] = [np.inf, -np.inf, np.nan, 1, -0.0, 3, 5, -7]
    b[:8] = [3, 2, 1, np.inf, 2, 0, np.nan, -np.inf]
    a, b = a.reshape(-1, width), b.reshape(-1, width)
    recording = Recording()
    x, y = (recording.input(n, (Dim("batch"), width), np.float32) for n in "xy")
    found = run_all({"fmod": (recording.finish([ops.Mod(1)(x, y)]), [a, b])}, tmp_path)["fmod"]
    assert "error" not in found, found["error"]
    with np.errstate(invalid="ignore"):
        want = np.fmod(a, b)
    np.testing.assert_array_equal(numbers(found["outputs"][0]).reshape(a.shape), want)


@needs_node
@pytest.mark.parametrize("width", [1, 12], ids=["alone", "in vectors"])
def test_casts_saturate(width: int, tmp_path: Path) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e20, -1e20, 2.9, -2.9, 0, 2**31, -(2**31), 0.5, -0.5],
                 np.float32).reshape(-1, width)  # fmt: skip
    recording = Recording()
    given = recording.input("x", (Dim("batch"), width), np.float32)
    graph = recording.finish([given.astype("int32"), given.astype("bool")], ["whole", "bool"])
    found = run_all({"casts": (graph, [x])}, tmp_path)["casts"]
    assert "error" not in found, found["error"]
    whole, truth = (numbers(output) for output in found["outputs"])
    top = 2**31 - 1
    assert whole.tolist() == [0, top, -(2**31), top, -(2**31), 2, -2, 0, top, -(2**31), 0, 0]
    assert truth.tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1]


@needs_node
@pytest.mark.parametrize("width", [1, 9], ids=["alone", "in vectors"])
def test_nan_wins_and_stays(width: int, tmp_path: Path) -> None:
    nan, inf = np.nan, np.inf
    pairs = [
        (nan, 1),
        (1, nan),
        (nan, nan),
        (inf, nan),
        (-inf, nan),
        (2, 1),
        (1, 2),
        (-inf, inf),
        (3, 3),
    ]
    a, b = (np.array(side, np.float32).reshape(-1, width) for side in zip(*pairs, strict=True))
    recording = Recording()
    x, y = (recording.input(n, (Dim("batch"), width), np.float32) for n in "xy")
    made = [np.maximum(x, y), np.minimum(x, y), ops.relu(x), np.clip(x, -1, 1), np.minimum(2.0, y)]
    graph = recording.finish(made, list("abcde"))
    found = run_all({"nan": (graph, [a, b])}, tmp_path)["nan"]
    assert "error" not in found, found["error"]
    wanted = [np.maximum(a, b), np.minimum(a, b), np.maximum(a, 0), np.clip(a, -1, 1),
              np.minimum(b, 2)]  # fmt: skip
    for got, want in zip(found["outputs"], wanted, strict=True):
        np.testing.assert_array_equal(numbers(got).reshape(a.shape), want)


# Networks -------------------------------------------------------------------------------------


def mlp() -> lp.Network:
    """M1 of the benchmarks."""
    network = lp.Sequential(
        [lp.Input((784,)), lp.Dense(100, "relu"), lp.Dense(100, "relu"), lp.Dense(10, "softmax")]
    )
    return filled(network)


def lenet() -> lp.Network:
    """M2 of the benchmarks."""
    network = lp.Sequential(
        [
            lp.Input((28, 28, 1)),
            lp.Conv2D(20, 5, activation="relu"),
            lp.MaxPooling2D(2),
            lp.Conv2D(40, 5, activation="relu"),
            lp.MaxPooling2D(2),
            lp.Flatten(),
            lp.Dense(100, activation="relu"),
            lp.Dense(10, activation="softmax"),
        ]
    )
    return filled(network)


def filled(network: lp.Network) -> lp.Network:
    network.initialize(0)
    random = np.random.default_rng(0)
    weights = network.weights.values()
    network.set_weights([w if w.ndim > 1 else random.random(w.shape) * 0.1 for w in weights])
    return network


def without_data(binary: bytes) -> bytes:
    """A module without its data, and without what it says about itself."""
    kept, place = binary[:8], 8
    while place < len(binary):
        size, shift, end = 0, 0, place + 1
        while True:
            byte = binary[end]
            size |= (byte & 127) << shift
            shift, end = shift + 7, end + 1
            if byte < 128:
                break
        if binary[place] not in (0, 11):
            kept += binary[place : end + size]
        place = end + size
    return kept


def test_sizes(tmp_path: Path) -> None:
    lp.save(lenet(), tmp_path / "m2.wasm")
    binary = (tmp_path / "m2.wasm").read_bytes()
    glue = (tmp_path / "m2.mjs").read_bytes()
    code = without_data(binary)
    assert len(code) + len(glue) <= 8192
    assert len(gzip.compress(code, 9)) + len(gzip.compress(glue, 9)) <= 3584
    weights = sum(array.nbytes for array in lenet().weights.values())
    assert len(binary) - weights - len(code) <= 700  # names, golden samples, gaps
    lp.save(lenet(), tmp_path / "alone.mjs", engine="wasm")
    text = (tmp_path / "alone.mjs").read_text()
    around = re.sub(r'"[A-Za-z0-9+/=]{10000,}"', '""', text)
    assert len(around) <= 9000  # WebAssembly as text


@needs_node
def test_engines_agree(tmp_path: Path) -> None:
    network = lenet()
    x = np.random.default_rng(1).standard_normal((37, 28, 28, 1)).astype(np.float32)
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    for engine in ("auto", "wasm", "js"):
        lp.save(network, tmp_path / f"{engine}.mjs", engine=engine)
    lp.save(network, tmp_path / "file.wasm")
    found = run_node(
        tmp_path,
        """
        import { readFileSync } from "node:fs";
        const bytes = readFileSync("x.bin");
        const x = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
        const results = {};
        for (const name of ["auto", "wasm", "js", "file"]) {
          const { engine, predict, selfTest } = await import(`./${name}.mjs`);
          results[name] = [engine, selfTest().ok, Array.from(predict(x))];
        }
        // A page that does not allow WebAssembly.
        globalThis.WebAssembly.Module = function () { throw new Error("refused"); };
        const { engine, predict, selfTest } = await import("./auto.mjs?refused");
        results.refused = [engine, selfTest().ok, Array.from(predict(x))];
        console.log(JSON.stringify(results));
        """,
    )
    engines = {"auto": "wasm", "wasm": "wasm", "js": "js", "file": "wasm", "refused": "js"}
    assert {name: engine for name, (engine, _, _) in found.items()} == engines
    want = network.predict(x)
    for name, (_, ok, values) in found.items():
        assert ok
        assert largest_difference([np.array(values).reshape(want.shape)], [want])[1], name


def test_unknown_engine(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="engine=fast: it is one of auto, wasm, js"):
        lp.save(mlp(), tmp_path / "m.mjs", engine="fast")
    assert not list(tmp_path.iterdir())


@needs_node
def test_the_file_describes_itself(tmp_path: Path) -> None:
    network = mlp()
    network.labels = [f"digit {k}" for k in range(10)]
    lp.save(network, tmp_path / "model.wasm")
    x = np.random.default_rng(2).random((3, 784)).astype(np.float32)
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    found = run_node(
        tmp_path,
        """
        import { readFileSync } from "node:fs";
        const { module, instance } = await WebAssembly.instantiate(readFileSync("model.wasm"));
        const [section] = WebAssembly.Module.customSections(module, "layerport");
        const facts = JSON.parse(new TextDecoder().decode(section));
        const { memory, predict } = instance.exports;
        new Uint8Array(memory.buffer).set(readFileSync("x.bin"), facts.inputs[0].offset);
        predict(3);
        const y = new Float32Array(memory.buffer, facts.outputs[0].offset, 30);
        console.log(JSON.stringify([facts, Array.from(y), Object.keys(instance.exports)]));
        """,
    )
    facts, y, exports = found
    assert exports == ["memory", "predict"]
    assert facts["inputs"][0]["shape"] == [None, 784]
    assert facts["labels"] == network.labels
    assert facts["largestBatch"] >= 3
    assert largest_difference([np.array(y).reshape(3, 10)], [network.predict(x)])[1]


@needs_node
def test_wrong_calls(tmp_path: Path) -> None:
    lp.save(mlp(), tmp_path / "model.wasm")
    found = run_node(
        tmp_path,
        """
        import { predict } from "./model.mjs";
        const good = new Float32Array(784).fill(0.5);
        const before = Array.from(predict(good));
        const errors = [[1, 2], new Float32Array(785), "text", null, [], ["a"]].map((x) => {
          try { predict(x); } catch (error) { return `${error.name}: ${error.message}`; }
        });
        const nan = predict(new Float32Array(784).fill(NaN)).every(Number.isNaN);
        const after = Array.from(predict(good));
        console.log(JSON.stringify({ errors, nan, same: before.every((v, k) => v === after[k]) }));
        """,
    )
    assert found["nan"]
    assert found["same"]
    sizes = {0: 2, 1: 785, 4: 0, 5: 1}
    for place, size in sizes.items():
        assert found["errors"][place] == (
            f'RangeError: input "input": {size} numbers are no whole number of samples: '
            "[n, 784] needs 784 each"
        )
    for place, kind in {2: "string", 3: "null"}.items():
        assert found["errors"][place] == (
            f'TypeError: input "input": expected a typed array or (nested) array, got {kind}'
        )


@needs_node
@pytest.mark.parametrize("target", ["we'ird $(x) \u540d#?.wasm", "evil.mjs"])
def test_hostile_names(target: str, tmp_path: Path) -> None:
    inputs = [lp.Input((2,), name=name) for name in EVIL_NAMES[:4]]
    joined = lp.Concatenate(name=EVIL_NAMES[4])(inputs)
    outputs = [lp.Dense(2, name=name)(joined) for name in EVIL_NAMES[5:8]]
    network = lp.Network(inputs, outputs, name=EVIL_NAMES[0])
    network.initialize(0)
    network.labels = EVIL_NAMES
    lp.save(network, tmp_path / target)
    for path in tmp_path.glob("*.mjs"):
        text = path.read_bytes().decode("ascii")
        assert not re.search(r"</script|<!|-->", text)
    module = target.replace(".wasm", ".mjs")
    (tmp_path / "facts.json").write_text(json.dumps([module, EVIL_NAMES[:4]]))
    found = run_node(
        tmp_path,
        """
        import { readFileSync } from "node:fs";
        import { pathToFileURL } from "node:url";
        const [name, inputs] = JSON.parse(readFileSync("facts.json"));
        const model = await import(pathToFileURL(name));
        const made = model.predict(Object.fromEntries(inputs.map((name, k) => [name, [k, 1]])));
        const ports = [model.inputs, model.outputs].map((list) => list.map(({ name }) => name));
        const { ok } = model.selfTest();
        console.log(JSON.stringify([Object.keys(made), ...ports, model.labels, ok]));
        """,
    )
    names = [port.name for port in network.outputs]
    assert found == [names, [p.name for p in network.inputs], names, EVIL_NAMES, True]
    assert not list(tmp_path.glob("PWNED*"))


@needs_node
def test_learning_is_the_same(tmp_path: Path) -> None:
    network = filled(
        lp.Sequential(
            [
                lp.Input((8, 8, 2)),
                lp.Conv2D(6, 3, activation="relu"),
                lp.MaxPooling2D(),
                lp.Flatten(),
                lp.Dropout(0.3),
                lp.Dense(10, "tanh"),
                lp.Dense(4, "softmax"),
            ]
        )
    )
    for engine in ("wasm", "js"):
        lp.save(network, tmp_path / f"{engine}.mjs", engine=engine, train="adam")
    lp.save(network, tmp_path / "file.wasm", train="adam")
    found = run_node(
        tmp_path,
        """
        const results = {};
        for (const name of ["wasm", "js", "file"]) {
          const { train, predict, save, load } = await import(`./${name}.mjs`);
          const x = Float32Array.from({ length: 6 * 128 }, (_, i) => ((i * 7919) % 23) / 11 - 1);
          const losses = [];
          for (let k = 0; k < 5; k++) losses.push(train(x, [0, 1, 2, 3, 0, 1], { seed: 3 }));
          const y = Array.from(predict(x));
          const saved = save();
          train(x, [0, 1, 2, 3, 0, 1]);
          load(saved);
          const again = Array.from(predict(x)).every((v, k) => v === y[k]);
          results[name] = { losses, y, again };
        }
        console.log(JSON.stringify(results));
        """,
    )
    for name in ("wasm", "file"):
        assert found[name]["again"]
        np.testing.assert_allclose(found[name]["losses"], found["js"]["losses"], rtol=1e-5)
        np.testing.assert_allclose(found[name]["y"], found["js"]["y"], rtol=1e-4, atol=1e-6)


# Small parts ----------------------------------------------------------------------------------


def test_leb128() -> None:
    # From https://en.wikipedia.org/wiki/LEB128.
    assert unsigned(624485) == bytes([0xE5, 0x8E, 0x26])
    assert signed(-123456) == bytes([0xC0, 0xBB, 0x78])
    assert [signed(n) for n in (0, 63, 64, -64, -65)] == [
        b"\x00", b"\x3f", b"\xc0\x00", b"\x40", b"\xbf\x7f",
    ]  # fmt: skip


@needs_node
def test_text_of_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) + np.random.default_rng(0).bytes(500)
    literal, first = text_of(data)
    source = files("layerport_formats.javascript").joinpath("runtime.js")
    decode = reachable(selected(source.read_text(encoding="utf-8"), set()), ["decodeCode"])
    script = f"{decode}\nconsole.log(JSON.stringify(Array.from(decodeCode({literal}, {first}))));"
    assert run_node(tmp_path, script) == list(data)


def test_lines_for_features() -> None:
    source = "a;\n//#if x\nb;\n//#else\nc;\n//#end\n//#if !x\nd;\n//#end\n"
    assert selected(source, {"x"}) == "a;\nb;\n"
    assert selected(source, set()) == "a;\nc;\nd;\n"


def test_unused_declarations_are_left_out() -> None:
    source = "const a = 1;\nfunction b() {\n  return a;\n}\nfunction c() {\n  return b();\n}\n"
    assert reachable(source, ["b"]) == "const a = 1;\nfunction b() {\n  return a;\n}\n"


@needs_node
def test_minified_code_does_the_same(tmp_path: Path) -> None:
    source = r"""
    const first = { kept: 1, "odd key": [2, 3] };  // a comment with "quotes" and `ticks`
    const second = (value) => `${value + 1} and ${[1, 2].map((item) => `<${item}>`).join(";}")}`;
    function third({ kept, ...others }, [one, two] = [5, 6], last = one - -two) {
      let total = 0, count = 1;
      for (let index = 0; index < 3; index++) { total += index; count++; }
      for (const key of Object.keys(others)) total += others[key].length;
      const inner = { total, count, kept };
      return [inner, last, (/a\/[^b]"/).test("a/c\""), total > 3 ? count : -count];
    }
    export const result = [second(4), third(first), "text ;} // no comment"];
    """
    short = minified(source, {"result"})
    assert len(short) < 0.75 * len(source)
    script = "import { result } from './%s.mjs';\nconsole.log(JSON.stringify(result));"
    (tmp_path / "long.mjs").write_text(source)
    (tmp_path / "short.mjs").write_text(short)
    assert run_node(tmp_path, script % "long") == run_node(tmp_path, script % "short")


def test_floats_too_large_are_infinite() -> None:
    from layerport_formats.wasm.expressions import _float_bytes

    assert _float_bytes(1e300) == struct.pack("<f", float("inf"))
