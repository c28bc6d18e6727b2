"""layerport predict: samples from files, outputs to files."""

from __future__ import annotations

import json
from pathlib import Path

import layerport as lp
import numpy as np
import pytest

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def given_as(suffix: str, x: np.ndarray, folder: Path) -> Path:
    path = folder / f"samples{suffix}"
    match suffix:
        case ".npy":
            np.save(path, x)
        case ".npz":
            np.savez(path, input=x)
        case ".csv":
            np.savetxt(path, x, delimiter=",", fmt="%.9g")
        case ".json":
            path.write_text(json.dumps(x.tolist()))
    return path


def printed(text: str) -> np.ndarray:
    return np.array([[float(word) for word in line.split()] for line in text.splitlines()])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".json"])
def test_inputs(run, known, tmp_path: Path, suffix: str) -> None:
    ran = run("predict", known.path, given_as(suffix, known.x, tmp_path))
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_allclose(printed(ran.out), known.y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".json"])
def test_outputs(run, known, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"answers{suffix}"
    ran = run("predict", known.path, given_as(".npy", known.x, tmp_path), "-o", target)
    assert ran.code == 0
    match suffix:
        case ".npy":
            made = np.load(target)
        case ".npz":
            (made,) = np.load(target).values()
        case ".csv":
            made = np.loadtxt(target, delimiter=",")
        case ".json":
            made = np.array(json.loads(target.read_text()))
    np.testing.assert_allclose(made, known.y, **CLOSE)


def test_csv_with_a_head(run, known, tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    np.savetxt(path, known.x, delimiter=",", fmt="%.9g", header="a,b,c,d", comments="")
    np.testing.assert_allclose(printed(run("predict", known.path, path).out), known.y, rtol=1e-4)


def test_one_sample_is_a_batch_of_one(run, known, tmp_path: Path) -> None:
    path = given_as(".npy", known.x[0], tmp_path)
    np.testing.assert_allclose(
        printed(run("predict", known.path, path).out), known.y[:1], rtol=1e-4
    )


def two_in_two_out(folder: Path) -> Path:
    a, b = lp.Input((2,), name="a"), lp.Input((2,), name="b")
    outputs = [lp.Add(name="sum")([a, b]), lp.Subtract(name="rest")([a, b])]
    lp.save(lp.Network([a, b], outputs), folder / "two.json")
    return folder / "two.json"


def test_several_inputs_by_name(run, tmp_path: Path) -> None:
    model = two_in_two_out(tmp_path)
    np.savez(tmp_path / "x.npz", b=np.float32([[1, 2]]), a=np.float32([[10, 20]]))
    (tmp_path / "x.json").write_text('{"b": [[1, 2]], "a": [[10, 20]]}')
    for name in ("x.npz", "x.json"):
        assert run("predict", model, tmp_path / name, "-o", tmp_path / "y.npz").code == 0
        made = np.load(tmp_path / "y.npz")
        assert set(made.files) == {"sum", "rest"}
        np.testing.assert_array_equal(made["sum"], [[11, 22]])
        np.testing.assert_array_equal(made["rest"], [[9, 18]])


def test_several_outputs_do_not_fit_a_table(run, tmp_path: Path) -> None:
    model = two_in_two_out(tmp_path)
    np.savez(tmp_path / "x.npz", a=np.float32([[1, 2]]), b=np.float32([[1, 2]]))
    ran = run("predict", model, tmp_path / "x.npz", "-o", tmp_path / "y.csv")
    assert ran.code == 2
    assert ".npz or .json" in ran.err
    assert not (tmp_path / "y.csv").exists()


def test_labels_are_named(run, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Activation("softmax")])
    network.labels = ["cat", "dog"]
    lp.save(network, tmp_path / "m.json")
    np.save(tmp_path / "x.npy", np.float32([[0, 9], [9, 0]]))
    lines = run("predict", tmp_path / "m.json", tmp_path / "x.npy").out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("shape", "mode"),
    [((6, 6, 1), "L"), ((36,), "L"), ((6, 6, 3), "RGB"), ((3, 6, 6), "RGB")],
)
def test_pictures(run, tmp_path: Path, shape: tuple[int, ...], mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    size = (6, 6) if mode == "L" else (6, 6, 3)
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    image.fromarray(pixels, mode=mode).save(tmp_path / "x.png")
    lp.save(lp.Sequential([lp.Input(shape), lp.Flatten()]), tmp_path / "m.json")
    ordered = pixels.transpose(2, 0, 1) if shape[0] == 3 else pixels
    for flags, factor in (([], 1 / 255), (["--scale", 1], 1.0)):
        ran = run(
            "predict", tmp_path / "m.json", tmp_path / "x.png", "-o", tmp_path / "y.npy", *flags
        )
        assert ran.code == 0
        want = ordered.reshape(1, -1) * factor
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), want, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.npy", b"no array", []),
        ("x.npz", b"no archive", []),
        ("x.csv", b"1,2,3,4\n1,2,three,4\n", []),
        ("x.csv", b"1,2,3\n", ["(None, 4)"]),
        ("x.json", b"[[1, 2, 3, 4]", []),
        ("x.json", b"[[1, 2], [3]]", []),
        ("x.json", b'{"other": [[1, 2, 3, 4]]}', ["other"]),
        ("x.png", b"no picture", []),
        ("x.wav", b"", [".npy", ".png"]),
    ],
)
def test_bad_samples(
    run, known, tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    target = tmp_path / "y.npy"
    target.write_bytes(b"what was here before")
    ran = run("predict", known.path, path, "-o", target)
    assert ran.code == 3
    assert ran.err.startswith(f"layerport: {path}")
    assert all(word in ran.err for word in words)
    assert target.read_bytes() == b"what was here before"


def test_arrays_of_objects_are_not_unpickled(run, known, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    ran = run("predict", known.path, tmp_path / "x.npy")
    assert ran.code == 3
    assert str(tmp_path / "x.npy") in ran.err


def test_unknown_output_suffix_before_any_work(run, known, tmp_path: Path) -> None:
    ran = run("predict", known.path, given_as(".npy", known.x, tmp_path), "-o", tmp_path / "y.xls")
    assert ran.code == 2
    assert ".npy" in ran.err
