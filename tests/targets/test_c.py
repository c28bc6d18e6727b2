"""C: every operator and every network of the matrix, in every width of vectors, with sanitizers;
names, errors, threads, C++."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import layerport as lp
import numpy as np
import pytest
from layerport import ops
from layerport.dim import Dim
from layerport.errors import LayerportError, UnsupportedError
from layerport.format import ToolMissing, WriteContext
from layerport.graph import Graph
from layerport.loops.views import Batch
from layerport.recording import Recording
from layerport.verification import largest_difference
from layerport_formats.c import CFormat, running
from layerport_formats.c.artefact import print_c
from layerport_formats.exporting import Export, Golden, export

from loops.cases import CASES, Case
from loops.test_javascript import EVIL_NAMES
from loops.test_programs import expected
from matrix.case import Case as MatrixCase
from matrix.cases import CASES as NETWORKS
from targets.c_build import command as build
from targets.c_build import compile_all

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="there is no C compiler on this machine")


@cache
def widths(compiler: str) -> list[int]:
    """The lanes that this machine has, 1 among them."""
    command = [compiler, "-march=native", "-dM", "-E", "-x", "c", "/dev/null"]
    macros = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    tests = {16: "__AVX512F__", 8: "__AVX__", 4: "__SSE__"}
    found = [lanes for lanes, macro in tests.items() if macro in macros]
    return [*(found or [4]), 1]


def ports(values: Sequence[Any], names: Sequence[str]) -> list[Any]:
    batch = Batch("batch", "n", 1)
    return [
        (name, [None if not isinstance(e, int) else e for e in batch.sizes(v.shape)], str(v.dtype))
        for name, v in zip(names, values, strict=True)
    ]


def exported(graph: Graph, inputs: Any, outputs: Any, **more: Any) -> Export:
    """A graph as the printer gets it; `inputs` and `outputs` become golden samples."""
    made = Export(
        graph,
        ports(graph.inputs, [v.name for v in graph.inputs]),
        ports(graph.outputs, graph.output_names),
        None,
        Golden(inputs, outputs, 1e-5),
        "model",
    )
    return dataclasses.replace(made, **more)


def operator_case(case: Case) -> Export:
    return exported(case.graph(), case.data(), expected(case.name, 5), name=case.name)


def network_case(case: MatrixCase, folder: Path) -> Export | None:
    """A network of the matrix; None where an extent is open."""
    network = case.network()
    if any(None in port.shape[1:] for port in network.inputs):
        return None
    made = export(network, WriteContext(folder / "x", {}, lp.default_registry(), folder), "C")
    wanted = [np.asarray(y, p.dtype) for y, p in zip(case.expected, network.outputs, strict=True)]
    return dataclasses.replace(made, golden=Golden(case.inputs, wanted, max(case.tolerance, 1e-5)))


def run(folder: Path, *words: str) -> str:
    done = subprocess.run([str(folder / "program"), *words], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    return done.stdout.decode()


def write(folder: Path, model: Export, name: str = "model", **options: Any) -> None:
    made = print_c(model, prefix=name, header_name=f"{name}.h", **options)
    (folder / f"{name}.c").write_text(made.source, encoding="ascii")
    (folder / f"{name}.h").write_text(made.header, encoding="ascii")


def answer(folder: Path, model: Export, body: str, head: str = "") -> str:
    """What a program prints whose main function has this body."""
    write(folder, model)
    lines = ["#include <math.h>", "#include <stdio.h>", '#include "model.h"', head]
    text = "\n".join([*lines, f"int main(void) {{ {body} return 0; }}\n"])
    (folder / "main.c").write_text(text, encoding="ascii")
    command = [*STRICT, *SANITIZED, "-march=native", "main.c", "model.c", "-o", "program"]
    build(folder, [COMPILERS[0], *command, "-lm", "-pthread"])
    return run(folder)


# Every case in every width ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with all cases, and their names; ``program`` runs the self-test of each."""
    folder = tmp_path_factory.mktemp("cases")
    models = {case.name: operator_case(case) for case in CASES}
    models |= {
        f"network: {case.name}": model
        for case in NETWORKS
        if (model := network_case(case, folder)) is not None
    }
    calls = []
    heads = ["#include <stdio.h>"]
    for number, model in enumerate(models.values()):
        write(folder, model, f"m{number}")
        heads.append(f'#include "m{number}.h"')
        calls.append(f"status = m{number}_self_test(&off);")
        calls.append('printf("%d %g\\n", status, (double)off);')
    main = [
        *heads,
        "int main(void)",
        "{",
        "int status;",
        "float off = 0;",
        *calls,
        "return 0;",
        "}",
    ]
    (folder / "main.c").write_text("\n".join([*main, ""]), encoding="ascii")
    return folder, list(models)


BUILDS = [
    *[(compiler, lanes, SANITIZED) for compiler in COMPILERS for lanes in (1, 16)],
    *[(compiler, lanes, ()) for compiler, lanes in zip(COMPILERS, (8, 4), strict=False)],
]


@pytest.mark.parametrize(("compiler", "lanes", "flags"), BUILDS)
def test_cases(
    compiler: str, lanes: int, flags: Sequence[str], printed: tuple[Path, list[str]]
) -> None:
    if lanes not in widths(compiler):
        pytest.skip(f"this machine has no vectors of {lanes}")
    folder, names = printed
    sources = [f"m{number}.c" for number in range(len(names))]
    chosen = [f"-DM{number}_LANES={lanes}" for number in range(len(names))]
    used = [*STRICT, "-Wpedantic", *flags, "-O0", "-march=native", *chosen]
    compile_all(folder, compiler, used, [*sources, "main.c"], "program")
    answers = [line.split() for line in run(folder).splitlines()]
    assert len(answers) == len(names)
    wrong = {name: off for name, (status, off) in zip(names, answers, strict=True) if status != "0"}
    assert not wrong


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("name", ["functions", "cnn", "softmaxes", "integers", "gradients"])
def test_optimized(name: str, compiler: str, tmp_path: Path) -> None:
    """Optimised, products and sums joined or not, in whatever vectors the compiler goes for."""
    write(tmp_path, operator_case(next(case for case in CASES if case.name == name)))
    main = '#include "model.h"\nint main(void) { return model_self_test(0); }\n'
    (tmp_path / "main.c").write_text(main, encoding="ascii")
    for flags in (["-O3", "-march=native"], ["-O2", "-std=c99"], ["-Os", "-DMODEL_LANES=1"]):
        build(tmp_path, [compiler, *flags, "model.c", "main.c", "-o", "program", "-lm"])
        run(tmp_path)


# Calls ------------------------------------------------------------------------------------------


def doubled() -> Export:
    """x -> 2 x, of 2 x 3 numbers."""
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 2, 3), np.float32)
    ones = np.ones((2, 2, 3), np.float32)
    return exported(recording.finish([x * 2], ["y"]), [ones], [ones * 2])


def several() -> Export:
    """Floats, integers and bools, in and out."""
    recording = Recording()
    batch = Dim("batch")
    x = recording.input("x", (batch, 2), np.float32)
    i = recording.input("i", (batch,), np.int64)
    b = recording.input("b", (batch, 1), np.bool_)
    graph = recording.finish([x + i.reshape((batch, 1)), i * 3, np.logical_not(b)])
    arrays = [np.ones((1, 2), np.float32), np.ones(1, np.int64), np.ones((1, 1), np.bool_)]
    return exported(graph, arrays, [arrays[0] + 1, arrays[1] * 3, ~arrays[2]])


def centred() -> Export:
    """Samples that influence each other."""
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 4), np.float32)
    zeros = np.zeros((2, 4), np.float32)
    return exported(recording.finish([x - x.mean(axis=0)]), [zeros], [zeros])


def test_errors(tmp_path: Path) -> None:
    body = """
      static float x[6 * 1000], y[6 * 1000];
      static model_workspace workspace;
      printf("%d %d %d ", model_predict(x, y, -1), model_predict(x, y, 0),
             model_predict(NULL, NULL, 0));
      printf("%d %d ", model_predict(NULL, y, 1), model_predict(x, NULL, 1));
      printf("%d %d ", model_predict_r(x, y, 1, NULL), model_predict_r(x, y, -5, &workspace));
      for (int k = 0; k < 6000; ++k) x[k] = (float)k;
      int right = model_predict(x, y, 1000) == MODEL_OK;
      for (int k = 0; k < 6000; ++k) right = right && y[k] == 2 * x[k];
      printf("%d %d %d", right, MODEL_INPUT_0_SIZE, (int)MODEL_OUTPUT_0_COUNT(7));
    """
    assert answer(tmp_path, doubled(), body) == "-2 0 0 -1 -1 -1 -2 1 6 42"


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    body = """
      const float x[] = {1, 2, 3, 4};
      const int32_t i[] = {1, 2}, b[] = {1, 0};
      float p[4];
      int32_t q[2], r[2];
      printf("%d:", model_predict(x, i, b, p, q, r, 2));
      for (int k = 0; k < 4; ++k) printf(" %g", (double)p[k]);
      printf(" | %d %d | %d %d", q[0], q[1], r[0], r[1]);
      printf(" | %d %d", model_predict(x, i, NULL, p, q, r, 2), model_self_test(NULL));
    """
    assert answer(tmp_path, several(), body) == "0: 2 3 5 6 | 3 6 | 0 1 | -1 0"


def test_samples_that_influence_each_other(tmp_path: Path) -> None:
    body = """
      static float x[4 * 300] = {1, 1, 1, 1, 3, 3, 3, 3}, y[4 * 300];
      printf("%d %d %d", model_predict(x, y, 257), model_predict(x, y, 0), model_predict(x, y, 2));
      for (int k = 0; k < 8; ++k) printf(" %g", (double)y[k]);
    """
    assert answer(tmp_path, centred(), body) == "-2 -2 0 -1 -1 -1 -1 1 1 1 1"


def test_the_self_test_finds_what_is_wrong(tmp_path: Path) -> None:
    x, y = doubled().golden.inputs[0], doubled().golden.outputs[0].copy()
    y[0, 0, 0] = 2.5
    wrong = dataclasses.replace(doubled(), golden=Golden([x], [y], 1e-5))
    body = 'float off; int status = model_self_test(&off); printf("%d %g", status, (double)off);'
    assert answer(tmp_path, wrong, body) == "-3 0.5"


def test_the_self_test_knows_nan(tmp_path: Path) -> None:
    x = np.full((1, 2, 3), np.nan, np.float32)
    x[0, 0] = np.inf
    body = 'float off; int status = model_self_test(&off); printf("%d %g", status, (double)off);'
    right = dataclasses.replace(doubled(), golden=Golden([x], [x], 1e-5))
    assert answer(tmp_path, right, body) == "0 0"
    wrong = dataclasses.replace(doubled(), golden=Golden([x], [np.zeros_like(x)], 1e-5))
    assert answer(tmp_path, wrong, body) == "-3 inf"


@pytest.mark.parametrize("name", ["cnn", "pools", "mlp", "softmaxes", "layer_normalized"])
def test_nan_survives(name: str, tmp_path: Path) -> None:
    model = operator_case(next(case for case in CASES if case.name == name))
    rows = [[extent or 1 for extent in shape] for _, shape, _ in model.outputs]
    outputs = "".join(
        f"static {'float' if dtype == 'float32' else 'int32_t'} y{k}[{int(np.prod(shape))}];"
        for k, (shape, (_, _, dtype)) in enumerate(zip(rows, model.outputs, strict=True))
    )
    names = ", ".join(f"y{k}" for k in range(len(rows)))
    floats = "\n".join(
        f"for (int k = 0; k < {int(np.prod(shape))}; ++k) lost += !isnan(y{k}[k]);"
        for k, (shape, (_, _, dtype)) in enumerate(zip(rows, model.outputs, strict=True))
        if dtype == "float32"
    )
    body = f"""
      static float x[MODEL_INPUT_0_SIZE]; {outputs} int lost = 0;
      for (int k = 0; k < MODEL_INPUT_0_SIZE; ++k) x[k] = NAN;
      if (model_predict(x, {names}, 1) != MODEL_OK) return 1;
      {floats}
      printf("%d", lost);
    """
    assert answer(tmp_path, model, body) == "0"


def test_threads_with_workspaces_of_their_own(tmp_path: Path) -> None:
    model = operator_case(next(case for case in CASES if case.name == "cnn"))
    head = """
      #include <pthread.h>
      #include <string.h>
      enum { SAMPLES = 200 };
      static float x[SAMPLES * MODEL_INPUT_0_SIZE], wanted[SAMPLES * MODEL_OUTPUT_0_SIZE];
      static int wrong[4];
      static void *work(void *number)
      {
        static float y[4][SAMPLES * MODEL_OUTPUT_0_SIZE];
        static model_workspace workspaces[4];
        const int own = *(int *)number;
        for (int round = 0; round < 20; ++round) {
          if (model_predict_r(x, y[own], SAMPLES, &workspaces[own]) != MODEL_OK) wrong[own] = 1;
          if (memcmp(y[own], wanted, sizeof wanted) != 0) wrong[own] = 1;
        }
        return NULL;
      }
    """
    body = """
      pthread_t threads[4];
      int numbers[] = {0, 1, 2, 3}, all = 0;
      for (int k = 0; k < SAMPLES * MODEL_INPUT_0_SIZE; ++k) x[k] = (float)(k % 97) / 50 - 1;
      if (model_predict(x, wanted, SAMPLES) != MODEL_OK) return 1;
      for (int k = 0; k < 4; ++k) pthread_create(&threads[k], NULL, work, &numbers[k]);
      for (int k = 0; k < 4; ++k) { pthread_join(threads[k], NULL); all += wrong[k]; }
      printf("%d", all);
    """
    assert answer(tmp_path, model, body, head) == "0"


def test_a_workspace_may_lie_anywhere(tmp_path: Path) -> None:
    model = operator_case(next(case for case in CASES if case.name == "mlp"))
    body = """
      static float room[sizeof(model_workspace) / 4 + 8];
      enum { SIZE = MODEL_OUTPUT_0_SIZE * 3 };
      static float x[MODEL_INPUT_0_SIZE * 3], y[SIZE], z[SIZE];
      int same = model_predict(x, y, 3) == MODEL_OK;
      for (int k = 0; k < 8; ++k) {
        same = same && model_predict_r(x, z, 3, (model_workspace *)(room + k)) == MODEL_OK;
        for (int j = 0; j < SIZE; ++j) same = same && y[j] == z[j];
      }
      printf("%d", same);
    """
    assert answer(tmp_path, model, body) == "1"


# Names ------------------------------------------------------------------------------------------


def hostile() -> Export:
    recording = Recording()
    xs = [recording.input(name, (Dim("batch"), 1), np.float32) for name in EVIL_NAMES]
    made = []
    for name, x in zip(EVIL_NAMES, xs, strict=True):
        with recording.builder.scope(name):
            made.append(ops.relu(x * 2 + 1))
    graph = recording.finish(made, EVIL_NAMES)
    ones = [np.ones((1, 1), np.float32)] * len(xs)
    labels = [*EVIL_NAMES, "", "\ud800", "a\0b"]
    return exported(graph, ones, [x * 3 for x in ones], labels=labels, name=EVIL_NAMES[0])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_hostile_names(compiler: str, tmp_path: Path) -> None:
    model = hostile()
    write(tmp_path, model)
    special = [name for name in EVIL_NAMES if re.search(r"[^A-Za-z0-9_ .,:()-]", name)]
    for path in (tmp_path / "model.c", tmp_path / "model.h"):
        text = path.read_text(encoding="ascii")
        assert "??/" not in text
        assert not [name for name in special if name in text]
        assert max(map(len, text.splitlines())) < 4000
    main = """
      #include <stdio.h>
      #include <string.h>
      #include "model.h"
      static void show(const char *const *names, int count)
      {
        for (int k = 0; k < count; ++k) {
          for (const char *c = names[k]; *c; ++c) printf("%02x", (unsigned)(unsigned char)*c);
          puts(".");
        }
      }
      int main(void)
      {
        show(model_input_names, MODEL_INPUTS);
        show(model_output_names, MODEL_OUTPUTS);
        show(model_labels, MODEL_LABELS);
        return model_self_test(NULL);
      }
    """
    (tmp_path / "main.c").write_text(main + "\n", encoding="ascii")
    command = [compiler, *STRICT, "-pedantic", "-Wtrigraphs", "-DMODEL_LANES=1"]
    build(tmp_path, [*command, "main.c", "model.c", "-o", "program", "-lm"])
    assert model.labels is not None
    wanted = [
        name.encode("utf-8", "surrogatepass").partition(b"\0")[0].hex() + "."
        for name in (*EVIL_NAMES, *EVIL_NAMES, *model.labels)
    ]
    assert run(tmp_path).split() == wanted
    assert not list(tmp_path.glob("*PWNED*"))


@pytest.mark.parametrize("prefix", ["", "9a", "a-b", "a b", "_a", "é", "a" * 41, "a;b", "int*"])
def test_refused_prefix(prefix: str) -> None:
    with pytest.raises(UnsupportedError, match="makes no identifier in C"):
        print_c(doubled(), prefix=prefix)


@pytest.mark.parametrize("prefix", ["int", "Digits", "x", "model_2"])
def test_prefix(prefix: str, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    network.initialize(0)
    report = lp.save(network, tmp_path / "made.c", prefix=prefix)
    assert sorted(path.name for path in report.files) == ["made.c", "made.h"]
    header = (tmp_path / "made.h").read_text()
    assert f"int {prefix}_predict(const float *x, float *y, int n);" in header
    assert f"#define {prefix.upper()}_INPUT_0_SIZE 3" in header
    x = np.ones((4, 3), np.float32)
    (y,) = CFormat().run(tmp_path / "made.c", [x], network)
    assert largest_difference([y], [network.predict(x)])[1]


def test_several_models_in_one_program(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path, doubled(), name)
    main = """
      #include "one.h"
      #include "two.h"
      int main(void) { return one_self_test(0) + two_self_test(0); }
    """
    (tmp_path / "main.c").write_text(main)
    sources = ["one.c", "two.c", "main.c"]
    build(tmp_path, [COMPILERS[0], *STRICT, *sources, "-o", "program", "-lm"])
    run(tmp_path)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++ on this machine")
def test_header_from_cplusplus(tmp_path: Path) -> None:
    write(tmp_path, doubled())
    main = """
      #include <cstdio>
      #include <memory>
      #include "model.h"
      int main() {
        auto workspace = std::make_unique<model_workspace>();
        float x[MODEL_INPUT_0_SIZE] = {1, 2, 3, 4, 5, 6}, y[MODEL_OUTPUT_0_SIZE];
        if (model_predict_r(x, y, 1, workspace.get()) != MODEL_OK) return 1;
        std::printf("%g %s", y[5], model_input_names[0]);
      }
    """
    (tmp_path / "main.cpp").write_text(main)
    build(tmp_path, [COMPILERS[0], *STRICT, "-c", "model.c", "-o", "model.o"])
    flags = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    build(tmp_path, ["g++", *flags, "main.cpp", "model.o", "-o", "program"])
    assert run(tmp_path) == "12 x"


# Files ------------------------------------------------------------------------------------------


def test_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    network.initialize(0)
    lp.save(network, tmp_path / "model.c")
    monkeypatch.setattr(running, "find_compiler", lambda: None)
    with pytest.raises(ToolMissing, match="no C compiler"):
        CFormat().run(tmp_path / "model.c", [np.ones((1, 3), np.float32)], network)


def test_what_the_compiler_says_is_passed_on(tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(2)])
    network.initialize(0)
    lp.save(network, tmp_path / "model.c")
    with (tmp_path / "model.c").open("a") as file:
        file.write("broken\n")
    with pytest.raises(LayerportError, match=r"does not compile:[^$]*error"):
        CFormat().run(tmp_path / "model.c", [np.ones((1, 3), np.float32)], network)


def test_large_samples_do_not_fill_the_file(tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((300, 300, 3)), lp.GlobalAveragePooling2D()])
    lp.save(network, tmp_path / "model.c")
    assert (tmp_path / "model.c").stat().st_size < 8 << 20
    x = np.random.default_rng(0).random((2, 300, 300, 3), np.float32)
    (y,) = CFormat().run(tmp_path / "model.c", [x], network)
    assert largest_difference([y], [x.astype(np.float64).mean(axis=(1, 2))])[1]


def test_open_extents_are_refused(tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((None, 3)), lp.Dense(2)])
    with pytest.raises(UnsupportedError, match="C needs every extent but the batch"):
        lp.save(network, tmp_path / "model.c")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lanes", [(16,), (4,), ()])
def test_only_some_widths(lanes: tuple[int, ...]) -> None:
    made = print_c(doubled(), lanes=lanes).source
    assert [width for width in (16, 8, 4) if f"vf{width}" in made] == list(lanes)


def test_weights_stand_in_the_file_once() -> None:
    recording = Recording()
    x = recording.input("x", (Dim("batch"), 64), np.float32)
    kernel = np.random.default_rng(0).standard_normal((64, 48)).astype(np.float32)
    zeros = np.zeros((1, 64), np.float32)
    graph = recording.finish([ops.relu(x @ kernel)])
    made = print_c(exported(graph, [zeros], [zeros[:, :48]])).source
    assert made.count("[3072] ALIGNED") == 1


# Weights in fewer bits --------------------------------------------------------------------------


def small_network() -> lp.Network:
    layers = [lp.Input((8, 8, 3)), lp.Conv2D(6, 3, activation="relu"), lp.Flatten(), lp.Dense(9)]
    network = lp.Sequential([*layers, lp.Activation("softmax")])
    network.initialize(2)
    return network


@pytest.mark.parametrize("lanes", [16, 1])
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_short_weights(storage: str, compiler: str, lanes: int, tmp_path: Path) -> None:
    network = small_network()
    report = lp.save(network, tmp_path / "model.c", weights=storage)
    assert [note.kind for note in report.notes] == ["approximated"]
    assert f"weights as {storage}: outputs change by" in report.notes[0].text
    main = """
      #include <stdio.h>
      #include "model.h"
      int main(void)
      {
        static float x[MODEL_INPUT_0_SIZE], y[MODEL_OUTPUT_0_SIZE];
        const int before = model_predict(x, y, 1);
        model_init();
        printf("%d %d %d", before, model_predict(x, y, 1), model_self_test(NULL));
        return 0;
      }
    """
    (tmp_path / "main.c").write_text(main + "\n", encoding="ascii")
    used = lanes if lanes in widths(compiler) else 1
    flags = [*STRICT, *SANITIZED, "-march=native", f"-DMODEL_LANES={used}"]
    build(tmp_path, [compiler, *flags, "main.c", "model.c", "-o", "program", "-lm"])
    assert run(tmp_path) == "-4 0 0"


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_conversion_with_short_weights_is_verified(storage: str, tmp_path: Path) -> None:
    network = small_network()
    lp.save(network, tmp_path / "model.json")
    report = lp.convert(tmp_path / "model.json", tmp_path / "model.c", options={"weights": storage})
    assert report.verification.passed
    with pytest.raises(lp.LossError, match=f"weights as {storage}"):
        lp.convert(tmp_path / "model.json", tmp_path / "again.c", strict=True,
                   options={"weights": storage})  # fmt: skip


def test_unknown_weights(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="option weights=int4"):
        lp.save(small_network(), tmp_path / "model.c", weights="int4")


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_many_weights(storage: str, compiler: str, tmp_path: Path) -> None:
    """Long arrays are strings."""
    network = lp.Sequential([lp.Input((700,)), lp.Dense(400, "relu"), lp.Dense(4)])
    network.initialize(0)
    lp.save(network, tmp_path / "model.c", weights=storage)
    assert "char bytes" in (tmp_path / "model.c").read_text()
    main = '#include "model.h"\nint main(void) { return model_self_test(0); }\n'
    (tmp_path / "main.c").write_text(main)
    for flags in (["-DMODEL_LANES=1", "-pedantic"], ["-march=native"]):
        sources = ["main.c", "model.c", "-o", "program", "-lm"]
        build(tmp_path, [compiler, *STRICT, *SANITIZED, *flags, *sources])
        run(tmp_path)
