"""What fit shows."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import layerport as lp
import pytest
from layerport.op import NDArray

Data = tuple[NDArray, NDArray]
Make = Callable[..., lp.Sequential]
LOSS = "sparse_categorical_crossentropy"
LINE = re.compile(
    r"epoch (\d+)/(\d+)  loss \d\.\d{4}  accuracy \d\.\d{4}  val_loss \d\.\d{4}  "
    r"val_accuracy \d\.\d{4}  [\d,]+ samples/s  \d+\.\d s"
)


@pytest.mark.parametrize("verbose", [1, 2])
def test_plain_lines_when_piped(
    blobs: Data, classifier: Make, verbose: int, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier().fit(*blobs, epochs=2, loss=LOSS, metrics=["accuracy"], validation_split=0.2,
                     verbose=verbose)  # fmt: skip
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert [LINE.fullmatch(line).groups() for line in lines] == [("1", "2"), ("2", "2")]


def test_silence(blobs: Data, classifier: Make, capsys: pytest.CaptureFixture[str]) -> None:
    classifier().fit(*blobs, loss=LOSS, verbose=0)
    assert capsys.readouterr() == ("", "")


def test_a_live_line_in_a_terminal(
    blobs: Data, classifier: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr("layerport_plugins.progress.REFRESH", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("NO_COLOR", raising=False)
    classifier().fit(*blobs, epochs=2, loss=LOSS, verbose=1)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert re.search(r"epoch 1/2  ━+ +50%  loss \d\.\d{4}  [\d,]+ samples/s  ETA \d\.\d s", shown)
    assert re.search(r"epoch 2/2  loss \d\.\d{4}  [\d,]+ samples/s  \d\.\d s\n", shown)
