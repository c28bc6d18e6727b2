"""C that learns: a training step on weights in static arrays, which come and go as one vector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from layerport.loops.clike import comment_text
from layerport.loops.ir import Buffer, Port
from layerport.loops.weights import stored
from layerport.op import NDArray
from layerport.recording import RANDOM_INPUTS
from layerport.train.step import RATE, STEP

from layerport_formats.c.artefact import LANES, Artefact
from layerport_formats.c.constants import definition
from layerport_formats.c.helpers import vector_types
from layerport_formats.c.interface import Interface
from layerport_formats.c.printer import C
from layerport_formats.c.program import Variants
from layerport_formats.c.run import run_function
from layerport_formats.c.selftest import self_test
from layerport_formats.c.signature import MEMORY_TYPES
from layerport_formats.c.targets import TARGETS
from layerport_formats.c.text import checked_prefix
from layerport_formats.exporting import Export
from layerport_formats.training import Training, TrainingPrograms

_HEADER = """\
/* Learning. The weights are static: not for several threads at once, nor during a prediction. */
#define {macro}_ERROR_VALUE (-5) /* a number is not finite, or a class number is none */
#define {macro}_TRAIN_BATCH {batch} /* the most samples of a step */
#define {macro}_LEARNING_RATE {rate}f /* a usual one */
#define {macro}_WEIGHTS {count} /* elements of all weights */

/* One step on n samples. {meaning}
   The loss of the weights before the step goes to where `loss` points, unless that is NULL. After
   an error, nothing has changed. */
int {prefix}_train({parameters});
{classes}
/* The weights one behind the other: {order}.
   set_weights starts learning afresh. */
void {prefix}_get_weights(float *flat);
void {prefix}_set_weights(const float *flat);

/* The seed of dropout and the like; {seed}u at the start. */
void {prefix}_set_seed(uint32_t seed);

"""

_CLASSES = """
/* The same with the number of its class for each {row}, from 0. */
int {prefix}_train_classes({parameters});
"""

_STATE = """\
static uint32_t train_seed = {seed}u, train_steps;
static {prefix}_workspace train_workspace ALIGNED;

/* Multiples of zero add up to zero unless a number is not finite. */
static int is_finite(const float *numbers, size_t size)
{{
  float sum = 0;
  for (size_t i = 0; i < size; ++i) sum += numbers[i] * 0.0f;
  return sum == 0.0f;
}}

void {prefix}_set_seed(uint32_t seed)
{{
  train_seed = seed;
}}

void {prefix}_get_weights(float *flat)
{{
{get}
}}

void {prefix}_set_weights(const float *flat)
{{
{set}
{reset}
  train_steps = 0;
}}"""

_TRAIN = """\
int {prefix}_train({parameters})
{{
  const float count = (float)(train_steps + 1);
  const uint32_t sample = 0;
  float before[{outputs}] = {{0}};
  if (n < 1 || n > {batch}) return {macro}_ERROR_COUNT;
  if ({missing}) return {macro}_ERROR_NULL;
  if ({unfit}) return {macro}_ERROR_VALUE;
  learn({arguments});
  (void)count;
  (void)sample;
  ++train_steps;
  if (loss != NULL) *loss = before[0];
  return {macro}_OK;
}}"""

_TRAIN_CLASSES = """\
int {prefix}_train_classes({parameters})
{{
  static float rows[{room}];
  if (n < 1 || n > {batch}) return {macro}_ERROR_COUNT;
  if (y == NULL) return {macro}_ERROR_NULL;
  for (size_t i = 0; i < (size_t)n * {labels}; ++i) {{
    if (y[i] < 0 || y[i] >= {classes}) return {macro}_ERROR_VALUE;
    for (size_t j = 0; j < {classes}; ++j) rows[i * {classes} + j] = (int32_t)j == y[i];
  }}
  return {prefix}_train({arguments});
}}"""


def print_learning_c(
    model: Export,
    training: Training,
    *,
    prefix: str = "model",
    header_name: str = "model.h",
    lanes: Sequence[int] = LANES,
) -> Artefact:
    """Print a model that learns; see `print_c`.

    Raises
    ------
    UnsupportedError : naming everything that cannot be printed.
    """
    checked_prefix(prefix)
    widths = sorted({*lanes, 1}, reverse=True)
    block = training.lower(TARGETS[widths[0]]).predict.batch
    programs = {width: training.lower(TARGETS[width], block) for width in widths}
    states = _States(training)
    variants = _Variants(programs, states, prefix)
    plain = programs[1]
    interface = Interface(plain.predict, model, prefix, has_init=False)
    steps = _Steps(plain, training, states, prefix)
    about = comment_text(model.name)
    parts = [
        interface.opening(about, header_name, widths),
        states.definitions(),
        variants.text(),
        interface.functions(),
        steps.functions(),
        *interface.tables(),
        self_test(plain.predict, prefix, model.golden, has_init=False),
    ]
    header = interface.header(about, variants.workspace())
    start, end = header[: header.rindex("#ifdef")], header[header.rindex("#ifdef") :]
    return Artefact(start + steps.header() + end, "\n\n".join(parts) + "\n")


class _States:
    """The arrays of everything that a step may change, and of all other weights.

    Attributes
    ----------
    names : parameter -> array.
    """

    def __init__(self, training: Training) -> None:
        self._arrays = training.arrays
        self.names = {name: f"s{number}" for number, name in enumerate(training.arrays)}

    def data(self, name: str) -> NDArray:
        """The elements at the start, as they lie in memory."""
        return stored(np.ascontiguousarray(self._arrays[name]))

    def definitions(self) -> str:
        """The definitions of the arrays."""
        texts = []
        for name, word in self.names.items():
            data = self.data(name)
            kind = _KINDS[data.dtype.name]
            if data.any():
                texts.append(definition(word, data, kind).replace("static const", "static", 1))
            else:
                texts.append(f"static {kind} {word}[{max(1, data.size)}] ALIGNED;")
        return "\n\n".join(texts)


_KINDS = {"float32": "float", "int32": "int32_t", "uint32": "uint32_t"}


class _Variants(Variants):
    """The programs of prediction and learning for each width of vectors."""

    def __init__(
        self, programs: Mapping[int, TrainingPrograms], states: _States, prefix: str
    ) -> None:
        linked = {lanes: made.program for lanes, made in programs.items()}
        super().__init__(linked, f"{prefix}_workspace", f"{prefix.upper()}_LANES", "float32")
        self._made = programs
        self._states = states

    def _block(self, lanes: int) -> list[str]:
        made, workspace = self._made[lanes], self._workspaces[lanes]
        printer = C(self._constants.names)
        functions = [*made.step.functions[:-1], *made.predict.functions[:-1]]
        texts = ["\n".join(printer.function(f)) for f in functions]
        self._helpers.add(printer.helpers)
        types = [vector_types(width) for width in sorted(printer.widths)]
        states: dict[Buffer, str] = {
            buffer: self._states.names[buffer.source] for buffer in made.program.of_kind("state")
        }
        runs = [
            run_function(program, workspace, self._type, name=name, states=states)
            for name, program in (("run", made.predict), ("learn", made.step))
        ]
        return [*types, *printer.helpers.vector_text(), *texts, *runs]


class _Steps:
    """The functions for learning that other files see."""

    def __init__(
        self, programs: TrainingPrograms, training: Training, states: _States, prefix: str
    ) -> None:
        self._programs = programs
        self._training = training
        self._states = states
        self._prefix = prefix
        inputs, targets = programs.inputs, programs.targets
        self._x = {_numbered("x", k, inputs): port for k, port in enumerate(inputs)}
        self._y = {_numbered("y", k, targets): port for k, port in enumerate(targets)}

    @property
    def _classes(self) -> int:
        """How many classes there are, where class numbers can stand for rows."""
        targets = self._training.targets
        return targets[0].classes if len(targets) == 1 else 0

    def header(self) -> str:
        """The declarations."""
        training, macro = self._training, self._prefix.upper()
        order = ", ".join(comment_text(name, 60) for name in training.weights)
        classes = _CLASSES.format(
            row="sample" if self._labels == 1 else "row",
            prefix=self._prefix,
            parameters=self._parameters(classes=True),
        )
        return _HEADER.format(
            macro=macro,
            prefix=self._prefix,
            batch=training.batch,
            rate=repr(float(training.learning_rate)),
            count=sum(array.size for array in training.weights.values()),
            meaning=f"{', '.join(self._y)}: what should come out of {', '.join(self._x)}.",
            parameters=self._parameters(),
            classes=classes if self._classes else "",
            order=order,
            seed=training.seed,
        )

    def functions(self) -> str:
        """The definitions."""
        training, prefix, macro = self._training, self._prefix, self._prefix.upper()
        floats = [(n, p) for n, p in {**self._x, **self._y}.items() if p.buffer.dtype == "f32"]
        checks = [f"!is_finite({name}, (size_t)n * {self._sample(port)})" for name, port in floats]
        unfit = " || ".join([*checks, "!(learning_rate >= 0)", "!is_finite(&learning_rate, 1)"])
        names = {"batch": training.batch, "prefix": prefix, "macro": macro}
        texts = [
            _STATE.format(
                seed=training.seed,
                prefix=prefix,
                get="\n".join(self._copies("*flat++ = (float){name}[i]")),
                set="\n".join(self._copies("{name}[i] = ({kind})*flat++")),
                reset="\n".join(self._resets()),
            ),
            _TRAIN.format(
                parameters=self._parameters(),
                missing=" || ".join(f"{name} == NULL" for name in (*self._x, *self._y)),
                unfit=unfit,
                outputs=len(self._programs.step.outputs),
                arguments=", ".join(self._arguments()),
                **names,
            ),
        ]
        if self._classes:
            (port,) = self._y.values()
            given = [*self._x, "rows", "n", "learning_rate", "loss"]
            texts.append(
                _TRAIN_CLASSES.format(
                    parameters=self._parameters(classes=True),
                    room=training.batch * self._sample(port),
                    labels=self._labels,
                    classes=self._classes,
                    arguments=", ".join(given),
                    **names,
                )
            )
        return "\n\n".join(texts)

    @property
    def _labels(self) -> int:
        """Class numbers of a sample."""
        (port, *_) = self._y.values()
        return self._sample(port) // max(1, self._classes)

    def _parameters(self, *, classes: bool = False) -> str:
        words = [f"const {MEMORY_TYPES[p.buffer.dtype]} *{name}" for name, p in self._x.items()]
        words += [
            f"const {'int32_t' if classes else MEMORY_TYPES[p.buffer.dtype]} *{name}"
            for name, p in self._y.items()
        ]
        return ", ".join([*words, "int n", "float learning_rate", "float *loss"])

    def _arguments(self) -> list[str]:
        """What `learn` is called with, in the order of its parameters."""
        known = {RATE: "&learning_rate", STEP: "&count"}
        words = ("&train_seed", "&train_steps", "&sample")
        known |= dict(zip(RANDOM_INPUTS, words, strict=True))
        known |= {port.name: name for name, port in {**self._x, **self._y}.items()}
        step = self._programs.step
        outputs = [f"before + {number}" for number in range(len(step.outputs))]
        batch = ["n"] if step.symbol else []
        return [*batch, *(known[p.name] for p in step.inputs), *outputs, "&train_workspace"]

    def _copies(self, statement: str) -> list[str]:
        """Loops over all weights in their order."""
        lines = []
        for name in self._training.weights:
            data = self._states.data(name)
            kind = _KINDS[data.dtype.name]
            done = statement.format(name=self._states.names[name], kind=kind)
            lines.append(f"  for (size_t i = 0; i < {data.size}; ++i) {done};")
        return lines

    def _resets(self) -> list[str]:
        """Loops that give the optimizer's state its first values again."""
        lines = []
        for name, word in self._states.names.items():
            if name not in self._training.weights:
                data = self._states.data(name)
                first = float(data.flat[0]) if data.size else 0.0
                lines.append(f"  for (size_t i = 0; i < {data.size}; ++i) {word}[i] = {first!r}f;")
        return lines

    def _sample(self, port: Port) -> int:
        return math.prod(port.extents(self._programs.step.symbol, 1))


def _numbered(letter: str, number: int, ports: Sequence[Port]) -> str:
    return letter if len(ports) == 1 else f"{letter}{number}"
