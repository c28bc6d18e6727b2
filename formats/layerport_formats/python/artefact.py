"""The .py file of a model."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
from layerport.loops.clike import comment_text
from layerport.loops.ir import Port
from layerport.loops.weights import stored
from layerport.op import NDArray

from layerport_formats.exporting import Export
from layerport_formats.python.printer import TARGET, Python
from layerport_formats.scalar.artefact import PLAIN, ScalarFile
from layerport_formats.scalar.program import MEMORIES

if TYPE_CHECKING:
    from layerport.network import Network

_ZERO = {"f": "0.0", "i": "0", "u": "0"}
_WORD = {"f": "<f4", "i": "<i4", "u": "<u4"}


def print_python(model: Export) -> str:
    """The text of the module; it is ASCII."""
    return _Module(model).text()


class _Module(ScalarFile):
    def __init__(self, model: Export) -> None:
        super().__init__(model, TARGET, Python)

    def text(self) -> str:
        functions = [f"{line}\n" for line in self.functions()]
        model = self.model
        tables = {
            name: [(port, list(shape), dtype) for port, shape, dtype in specs]
            for name, specs in (("INPUTS", model.inputs), ("OUTPUTS", model.outputs))
        }
        return "".join(
            [
                f'"""{comment_text(model.name)}: printed by layerport. Needs NumPy only.\n\n'
                "predict(x) takes an array of samples, several inputs as several arguments.\n"
                '"""\n\n',
                "import base64\nimport math\nimport struct\n\nimport numpy as np\n\n",
                *(f"{name} = {_literal(specs)}\n" for name, specs in tables.items()),
                f"LABELS = {_literal(list(self.labels) if model.labels is not None else None)}\n\n",
                "nan, inf = math.nan, math.inf\n",
                *(f"{m} = [{_ZERO[m]}] * {size}\n" for m, size in self.layout.sizes.items()),
                "\n\n",
                _DECODE,
                *self._weights(),
                "\n\n",
                *functions,
                "\n",
                *self.printer.helpers(),
                *self._predict(),
                *self._self_test(),
            ]
        )

    def _memory(self, port: Port) -> str:
        return MEMORIES[port.buffer.dtype]

    def _weights(self) -> list[str]:
        lines = []
        for buffer in self.layout.weights:
            assert buffer.data is not None
            word = _WORD[MEMORIES[buffer.dtype]]
            lines.append(
                f"{self.printer.weight(buffer)} = {_decoded(buffer.data, word)}.tolist()\n"
            )
        return lines

    def _predict(self) -> list[str]:
        program = self.program
        names = [name for name, _ in self.inputs]
        lines = [
            f"def predict({', '.join(names)}):",
            '    """The outputs of samples: an array, or a tuple in the order of OUTPUTS."""',
        ]
        for number, (name, port) in enumerate(self.inputs):
            kind = "f" if self._memory(port) == "f" else "i"
            lines.append(f'    {name} = _checked({name}, {number}, "{kind}")')
        batched = [name for name, port in self.inputs if self.layout.sample_size(port)]
        lines.append(f"    n = len({batched[0]})" if batched else "    n = 1")
        if len(batched) > 1:
            lines += [
                f"    if not n == {' == '.join(f'len({name})' for name in batched[1:])}:",
                '        raise ValueError("the inputs have different numbers of samples")',
            ]
        if program.symbol and not program.splittable:
            lines += [
                f"    if n > {program.batch}:",
                f'        raise ValueError("at most {program.batch} samples at once")',
            ]
        lines += [f"    {name} = {name}.ravel().tolist()" for name in names]
        for name, port in self.outputs:
            zero = _ZERO[self._memory(port)]
            lines.append(f"    {name} = [{zero}] * ({self.length(port)})")
        lines += [
            f"    for done in range(0, n, {program.batch}):",
            f"        count = min(n - done, {program.batch})",
        ]
        for name, port in self.inputs:
            lines += self._copy(name, port, inward=True)
        entry = program.functions[-1]
        lines.append(f"        {entry.name}({', '.join('count' for _ in entry.parameters)})")
        for name, port in self.outputs:
            lines += self._copy(name, port, inward=False)
        results = [f"_shaped({name}, {number}, n)" for number, (name, _) in enumerate(self.outputs)]
        lines.append(f"    return {', '.join(results)}")
        return ["\n".join(lines) + "\n\n\n"]

    def _copy(self, name: str, port: Port, *, inward: bool) -> list[str]:
        part, memory = self.layout.part(port), self._memory(port)
        base, size = self.layout.base[port.buffer], self.layout.sample_size(port)
        run = self.run(port, "count")
        inside, outside = f"{base} + o * {part.stride}", f"done * {size} + o * ({run})"
        to, source = (memory, name) if inward else (name, memory)
        first, second = (inside, outside) if inward else (outside, inside)
        return [
            f"        for o in range({part.outer}):",
            f"            a, b = {first}, {second}",
            f"            {to}[a : a + {run}] = {source}[b : b + {run}]",
        ]

    def _self_test(self) -> list[str]:
        golden = self.model.golden
        given = ", ".join(
            f"{_decoded(stored(array), _WORD[self._memory(port)])}.reshape({array.shape})"
            for array, (_, port) in zip(golden.inputs, self.inputs, strict=True)
        )
        wanted = ", ".join(
            f"{_decoded(stored(array), _WORD[self._memory(port)])}.reshape({array.shape})"
            for array, (_, port) in zip(golden.outputs, self.outputs, strict=True)
        )
        made = f"predict({given})"
        made = f"({made},)" if len(self.outputs) == 1 else made
        return [
            _SELF_TEST.replace("MADE", made)
            .replace("WANTED", f"({wanted},)")
            .replace("TOLERANCE", repr(golden.tolerance))
        ]


def string(text: str) -> str:
    """A string literal: what is not plain is escaped by its number."""
    return '"' + "".join(c if c in PLAIN else f"\\U{ord(c):08x}" for c in text) + '"'


def _literal(value: object) -> str:
    """A literal of strings, numbers, None, and lists and tuples of them."""
    if isinstance(value, str):
        return string(value)
    if isinstance(value, (list, tuple)):
        start, end = "[]" if isinstance(value, list) else "()"
        return start + ", ".join(map(_literal, value)) + end
    return repr(value)


def _decoded(data: NDArray, word: str) -> str:
    text = base64.b64encode(np.ascontiguousarray(data, word).tobytes()).decode("ascii")
    return f'_numbers("{text}", "{word}")'


_DECODE = """\
def _numbers(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def _checked(x, number, kind):
    name, shape, _ = INPUTS[number]
    x = np.asarray(x)
    if x.dtype.kind not in ("fiub" if kind == "f" else "iub"):
        raise TypeError(f"the input {name!r} cannot be made of {x.dtype} values")
    fits = len(x.shape) == len(shape) and all(
        want is None or got == want for got, want in zip(x.shape, shape)
    )
    if not fits:
        raise ValueError(f"the input {name!r} has the shape {x.shape}, not {tuple(shape)}")
    return x.astype(np.float32) if kind == "f" else x.astype(np.int64)


def _shaped(values, number, n):
    _, shape, dtype = OUTPUTS[number]
    return np.array(values).astype(dtype).reshape([n if d is None else d for d in shape])


"""

_SELF_TEST = '''\
def self_test():
    """Whether samples inside give what belongs to them, and the largest difference."""
    ok, worst = True, 0.0
    for a, b in zip(MADE, WANTED):
        a, b = a.astype(np.float64), b.astype(np.float64)
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a - b))
        ok = ok and bool((difference <= TOLERANCE * (np.abs(b).max(initial=0) + np.abs(b))).all())
        worst = max(worst, float(difference.max(initial=0)))
    return ok, worst
'''


def main_program(network: Network) -> str:
    """A program that runs the module on files (see `scalar.running`)."""
    inputs = [
        f"np.fromfile(sys.argv[{k + 1}], {_file_word(port.dtype)!r})"
        f".reshape({[-1 if d is None else d for d in port.shape]})"
        for k, port in enumerate(network.inputs)
    ]
    single = len(network.outputs) == 1
    lines = [
        "import sys",
        "import numpy as np",
        "import model",
        f"made = model.predict({', '.join(inputs)})",
        *(["made = (made,)"] if single else []),
        'assert model.self_test()[0], "the self-test fails"',
    ]
    for k, port in enumerate(network.outputs):
        place = len(network.inputs) + k + 1
        lines.append(f"made[{k}].astype({_file_word(port.dtype)!r}).tofile(sys.argv[{place}])")
    return "\n".join([*lines, ""])


def _file_word(dtype: str) -> str:
    kind = np.dtype(dtype)
    return "<f4" if kind.kind == "f" else "<u4" if kind == np.uint32 else "<i4"
