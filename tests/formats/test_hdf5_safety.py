"""Files that somebody made to do harm: refused, with a reason, before anything is read."""

from __future__ import annotations

import zlib

import h5py
import layerport as lp
import numpy as np
import pytest

from .conftest import dense, sequential, write_keras

KERNEL, BIAS = np.ones((3, 2), np.float32), np.zeros(2, np.float32)
SECRET = np.arange(6, dtype=np.float32)


def external(group, folder):
    SECRET.tofile(folder / "secret.bin")
    group.create_dataset("kernel:0", (3, 2), "f4", external=[(str(folder / "secret.bin"), 0, 24)])


def secret(folder):
    with h5py.File(folder / "secret.h5", "w") as file:
        file["kernel"] = SECRET.reshape(3, 2)


def external_link(group, folder):
    secret(folder)
    group["kernel:0"] = h5py.ExternalLink(str(folder / "secret.h5"), "/kernel")


def soft_link(group, folder):
    group["kernel:0"] = h5py.SoftLink("/model_weights/d/d/kernel:0")


def virtual(group, folder):
    secret(folder)
    layout = h5py.VirtualLayout((3, 2), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "kernel", (3, 2))
    group.create_virtual_dataset("kernel:0", layout)


def enormous(group, folder):
    group.create_dataset("kernel:0", (10**6, 10**6, 10**3), "f4", chunks=(1000, 1000, 1))


def never_stored(group, folder):
    group.create_dataset("kernel:0", (30000, 30000), "f4", chunks=(1000, 1000))


def packed_twice(group, folder):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((3, 2))
    plan.set_deflate(9)
    plan.set_deflate(9)
    _raw(group, plan, (3, 2), zlib.compress(zlib.compress(KERNEL.tobytes())))


def bomb(group, folder):
    """A chunk of 256 MiB for an array of 24 bytes."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((1 << 25, 2))
    plan.set_deflate(9)
    _raw(group, plan, (3, 2), zlib.compress(bytes(1 << 20)), maximum=(h5py.h5s.UNLIMITED, 2))


def strange_filter(group, folder):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((3, 2))
    plan.set_filter(300, h5py.h5z.FLAG_OPTIONAL, (1, 2))
    _raw(group, plan, (3, 2), KERNEL.tobytes())


def _raw(group, plan, shape, data, maximum=None):
    space = h5py.h5s.create_simple(shape, maximum)
    dataset = h5py.h5d.create(group.id, b"kernel:0", h5py.h5t.IEEE_F32LE, space, plan)
    dataset.write_direct_chunk((0, 0), data, 0)


def compound(group, folder):
    group["kernel:0"] = np.zeros((3, 2), [("a", "f4"), ("b", "i8")])


def texts(group, folder):
    group.create_dataset("kernel:0", (3, 2), h5py.string_dtype())


def nothing(group, folder):
    group["kernel:0"] = h5py.Empty("f4")


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (external, "external"), (external_link, "link"), (soft_link, "link"),
        (virtual, "virtual"), (enormous, "limit"), (never_stored, "0 are stored"),
        (packed_twice, "several times"), (bomb, "chunk"), (strange_filter, "filter 300"),
        (compound, "dtype"), (texts, "dtype"), (nothing, "empty"),
    ],
)  # fmt: skip
def test_dangerous_data_is_refused(tmp_path, attack, reason):
    path = write_keras(
        tmp_path / "model.h5", sequential([dense("d", 2)]), {"d": {"d/bias:0": BIAS}}
    )
    with h5py.File(path, "r+") as file:
        group = file["model_weights/d"]
        group.attrs["weight_names"] = np.array([b"d/kernel:0", b"d/bias:0"])
        attack(group["d"], tmp_path)
    with pytest.raises(lp.ModelFileError, match=reason) as caught:
        lp.load(path)
    assert str(path) in str(caught.value)
    assert caught.value.place == "/model_weights/d/d/kernel:0"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("[" * 30000 + "]" * 30000, "nested"),
        ("{", "no JSON"),
        ("[]", "neither a Sequential"),
        ("3", "neither a Sequential"),
        ('{"class_name": "MyModel", "config": {}}', "'MyModel'"),
        ('{"class_name": "Sequential", "config": {}}', "lists no layers"),
        ('{"class_name": "Sequential", "config": {"layers": [3]}}', "layer 0"),
        ('{"class_name": "Functional", "config": {"layers": []}}', "inputs or outputs"),
    ],
)
def test_configs_that_are_none_are_refused(keras_file, config, reason):
    with pytest.raises(lp.ModelFileError, match=reason) as caught:
        lp.load(keras_file(config, {}))
    assert "model_config" in caught.value.place


@pytest.mark.parametrize("value", [np.arange(9), np.bytes_(b"\xff\xfe{}"), h5py.Empty("f4")])
def test_config_that_is_no_text_is_refused(tmp_path, value):
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = value
    with pytest.raises(lp.ModelFileError, match="model_config"):
        lp.load(path)


@pytest.mark.parametrize(
    "shape", [[None, -1], [None, "3"], "nonsense", [], [None, 2.5], [None, True]]
)
def test_shapes_that_are_none_are_refused(keras_file, shape):
    config = sequential([dense("d", 2)])
    config["config"]["layers"][0]["config"]["batch_input_shape"] = shape
    with pytest.raises(lp.LayerportError, match=r"no shape|no extent"):
        lp.load(keras_file(config, {}))


def test_huge_layers_are_found_out_by_the_sizes_of_their_weights(keras_file):
    path = keras_file(sequential([dense("d", 10**12)]), {"d": {"k": KERNEL, "b": BIAS}})
    with pytest.raises(lp.ModelFileError, match="shape"):
        lp.load(path)


def test_names_do_not_lead_out_of_their_group(keras_file):
    names = {"kernel:0": KERNEL, "bias:0": BIAS}
    path = keras_file(sequential([dense("d", 2)]), {"d": names})
    for wrong in (b"../d/kernel:0", b"/model_weights/d/kernel:0", b"./kernel:0"):
        with h5py.File(path, "r+") as file:
            file["model_weights/d"].attrs["weight_names"] = np.array([wrong, b"bias:0"])
        with pytest.raises(lp.ModelFileError, match="there is no array"):
            lp.load(path)


def test_limits_are_kept(keras_file):
    path = keras_file(sequential([dense("d", 2)]), {"d": {"k": KERNEL, "b": BIAS}})
    for bound in (
        {"layers": 1}, {"tensor_bytes": 8}, {"total_bytes": 30}, {"depth": 3},
        {"file_bytes": 100}, {"name_length": 0},
    ):  # fmt: skip
        limits = lp.Limits(**bound)
        with pytest.raises(lp.ModelFileError):
            lp.load(path, limits=limits)
    assert lp.load(path, limits=lp.Limits(layers=2, tensor_bytes=24, total_bytes=32)).layers


def test_truncated_files_are_refused(keras_file):
    path = keras_file(sequential([dense("d", 2)]), {"d": {"k": KERNEL, "b": BIAS}})
    whole = path.read_bytes()
    for length in range(8, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        with pytest.raises(lp.ModelFileError) as caught:
            lp.load(path)
        assert str(path) in str(caught.value)


def test_big_endian_and_compressed_weights_are_read(tmp_path):
    path = write_keras(tmp_path / "model.h5", sequential([dense("d", 2)]), {"d": {"b": BIAS}})
    with h5py.File(path, "r+") as file:
        group = file["model_weights/d"]
        group.attrs["weight_names"] = np.array([b"k", b"b"])
        group.create_dataset(
            "k", data=KERNEL.astype(">f8"), compression="gzip", shuffle=True, fletcher32=True
        )
    np.testing.assert_array_equal(lp.load(path).weights["d/kernel"], KERNEL)
