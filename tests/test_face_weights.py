"""Weights of other programs: every tensor finds its place, or the load is refused."""

import hashlib
import http.server
import pickle
import sys
import threading
from functools import cache
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
import scipy.io

from emorec.artifacts.local_copy import local_copy
from emorec.artifacts.matconvnet import named_tensors, read_dagnn
from emorec.artifacts.weights import read_weights
from emorec.corpora.transfer import Patience
from emorec.errors import DataError, MissingExtraError, SpecError
from emorec.models.dagnn import build_dagnn
from emorec.models.dagnn_graph import DagLayer, DagNN
from emorec.models.face_weights import load_weights
from emorec.models.resnet50 import resnet50, senet50
from emorec.training.pretrained import load_pretrained
from tests.face_golden import ferplus_tensors

LABELS = 4
PYTORCH = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@cache
def network():
    """Return a gated network, whose weights every test sets itself."""
    return senet50(LABELS, size=32, initializer="zeros")


@cache
def expected():
    """Return a value for every weight, by layer/weight; variances are positive."""
    random = np.random.default_rng(0)
    return {
        f"{layer.name}/{weight.name}": np.float32(0.1)
        + random.random(weight.shape, np.float32)
        for layer in network().layers
        for weight in layer.weights
        if "seed" not in weight.name
    }


def held():
    """Return the network's weights as they are."""
    return {
        f"{layer.name}/{weight.name}": keras.ops.convert_to_numpy(weight)
        for layer in network().layers
        for weight in layer.weights
        if "seed" not in weight.name
    }


def holds_the_expected(but=()):
    now = held()
    assert now.keys() == expected().keys()
    for name, value in expected().items():
        assert (now[name] == value).all() == (name not in but), name


def empty():
    for layer in network().layers:
        for weight in layer.weights:
            if "seed" not in weight.name:
                weight.assign(np.zeros(weight.shape))


def as_pytorch(values):
    """Lay out as PyTorch does, where also the classifier is a convolution."""
    result = {}
    for name, value in values.items():
        layer, leaf = name.split("/")
        if leaf == "kernel":
            value = value[None, None] if value.ndim == 2 else value
            value = np.ascontiguousarray(value.transpose(3, 2, 0, 1))
        leaf = "bias" if leaf == "bias" else PYTORCH[leaf]
        result[f"{layer}.{leaf}"] = value
        if leaf == "running_var":
            result[f"{layer}.num_batches_tracked"] = np.array(7)
    return result


def slashed(layer):
    """Write a layer's name as keras-vggface does."""
    name = layer.replace("conv1_7x7_s2", "conv1/7x7_s2")
    return f"{name.removesuffix('_bn')}/bn" if name.endswith("_bn") else name


def write_keras(path, values):
    """Write as keras-vggface's files are: <layer>/<layer>/<weight>:0."""
    with h5py.File(path, "w") as file:
        layers = {}
        for name, value in values.items():
            layer, leaf = name.split("/")
            gate = "1x1_down" in layer or "1x1_up" in layer
            value = value[None, None] if gate and value.ndim == 2 else value
            layer = slashed(layer)
            file[f"{layer}/{layer}/{leaf}:0"] = value
            layers.setdefault(layer, []).append(f"{layer}/{leaf}:0".encode())
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, names in layers.items():
            file[layer].attrs["weight_names"] = names


def as_dagnn(values):
    """Return a DagNN that holds the values, with names of parameters that say none."""
    layers, params = [], {}
    owners = dict.fromkeys(name.split("/")[0] for name in values)
    for owner in owners:
        own = {leaf: values.get(f"{owner}/{leaf}") for leaf in (*PYTORCH, "bias")}
        if own["kernel"] is not None:
            kernel = own["kernel"]
            kernel = kernel[None, None] if kernel.ndim == 2 else kernel
            parts = [kernel] + ([own["bias"]] if own["bias"] is not None else [])
            kind, block = "Conv", {"size": np.array(kernel.shape, float)}
        else:
            # Kept in float64, in which the root and its square are exact enough.
            sigma = np.sqrt(own["moving_variance"].astype(np.float64) + 1e-5)
            moments = np.stack([own["moving_mean"].astype(np.float64), sigma], 1)
            parts = [own["gamma"], own["beta"], moments]
            kind, block = "BatchNorm", {}
        names = tuple(
            f"{owner}{letter}" for letter, _ in zip("xyz", parts, strict=False)
        )
        params |= dict(zip(names, parts, strict=True))
        layers.append(DagLayer(slashed(owner), kind, (), (), names, block))
    return DagNN(tuple(layers), params, {})


def test_a_state_dictionary_of_pytorch_fills_every_weight(tmp_path):
    empty()
    np.savez(tmp_path / "weights.npz", **as_pytorch(expected()))
    report = load_weights(network(), read_weights(tmp_path / "weights.npz"))
    assert report.complete
    assert sorted(report.loaded) == sorted(expected())
    holds_the_expected()


def test_names_of_a_network_saved_in_parallel_are_known():
    empty()
    tensors = {f"module.{name}": x for name, x in as_pytorch(expected()).items()}
    assert load_weights(network(), tensors).complete
    holds_the_expected()


@pytest.mark.parametrize("group", ["", "model_weights/"])
def test_weights_of_keras_fill_every_weight(tmp_path, group):
    empty()
    path = tmp_path / "weights.h5"
    write_keras(path, expected())
    if group:
        with h5py.File(path, "r+") as file:
            for name in list(file):
                file.move(name, group + name)
    assert load_weights(network(), read_weights(path)).complete
    holds_the_expected()


def test_parameters_of_matconvnet_fill_every_weight():
    empty()
    tensors = named_tensors(as_dagnn(expected()))
    assert load_weights(network(), tensors).complete
    now = held()
    for name, value in expected().items():
        np.testing.assert_allclose(now[name], value, rtol=1e-6, err_msg=name)


def test_a_file_of_pytorch_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    values = {"classifier.weight": np.arange(6.0, dtype=np.float32).reshape(3, 2)}
    tensors = {name: torch.tensor(value) for name, value in values.items()}
    tensors["half.bias"] = torch.ones(3, dtype=torch.bfloat16)
    for content in (tensors, {"state_dict": tensors, "epoch": 3}):
        torch.save(content, tmp_path / "weights.pth")
        received = read_weights(tmp_path / "weights.pth")
        assert received.keys() == tensors.keys()
        np.testing.assert_array_equal(
            received["classifier.weight"], values["classifier.weight"]
        )
        assert received["half.bias"].dtype == np.float32


class Trap:
    def __reduce__(self):
        return print, ("run",)


def test_code_in_a_file_of_pytorch_is_refused(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save({"classifier.weight": Trap()}, tmp_path / "weights.pth")
    with pytest.raises(DataError, match="state dictionary"):
        read_weights(tmp_path / "weights.pth")
    assert "run" not in capsys.readouterr().out


def test_without_pytorch_its_files_are_refused_by_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"emorec\[torch\]"):
        read_weights(tmp_path / "weights.pt")


def spoilt(change):
    """Change the expected tensors, in the layout of PyTorch."""
    tensors = as_pytorch(expected())
    change(tensors)
    return tensors


def drop(tensors):
    del tensors["conv3_1_3x3_bn.running_mean"]


def add(tensors):
    tensors["conv3_5_3x3.weight"] = np.zeros((1, 1, 1, 1), np.float32)


def repeat(tensors):
    tensors["conv3_1_3x3/kernel"] = np.zeros((3, 3, 128, 128), np.float32)


def transpose(tensors):
    name = "conv3_1_1x1_reduce.weight"
    tensors[name] = tensors[name].transpose(1, 0, 2, 3)


def spoil(tensors):
    tensors["conv3_1_3x3.weight"] = np.full((128, 128, 3, 3), np.nan, np.float32)


FAULTS = {
    drop: ("missing", "conv3_1_3x3_bn/moving_mean", "conv3_1_3x3_bn/moving_mean"),
    add: ("unmatched", "conv3_5_3x3.weight", None),
    repeat: ("unmatched", "conv3_1_3x3/kernel", None),
    transpose: ("misshapen", r"\(256, 128, 1, 1\) for", "conv3_1_1x1_reduce/kernel"),
    spoil: ("misshapen", "not finite", "conv3_1_3x3/kernel"),
}


@pytest.mark.parametrize("change", FAULTS, ids=lambda change: change.__name__)
def test_a_file_that_does_not_fit_changes_nothing_unless_asked_to(change):
    kind, words, left = FAULTS[change]
    empty()
    with pytest.raises(SpecError, match=words):
        load_weights(network(), spoilt(change))
    assert not any(value.any() for value in held().values())
    report = load_weights(network(), spoilt(change), partial=True)
    assert len(getattr(report, kind)) == 1
    assert kind in str(report)
    holds_the_expected(but=(left,))


def test_tensors_of_another_network_are_refused_even_in_part():
    with pytest.raises(SpecError, match="No tensor fits"):
        load_weights(network(), {"a.weight": np.zeros((2, 2))}, partial=True)


def wider():
    """Return the expected tensors with a classifier of 9 labels."""
    tensors = as_pytorch(expected())
    tensors["classifier.weight"] = np.ones((9, 2048, 1, 1), np.float32)
    tensors["classifier.bias"] = np.ones(9, np.float32)
    return tensors


def test_another_classifier_is_left_out_on_request_alone():
    empty()
    with pytest.raises(SpecError, match='head="replace"'):
        load_weights(network(), wider())
    head = ("classifier/kernel", "classifier/bias")
    report = load_weights(network(), wider(), head="skip")
    assert report.head == ["classifier.weight", "classifier.bias"]
    holds_the_expected(but=head)
    assert not held()["classifier/kernel"].any()
    with pytest.raises(SpecError, match="load, replace, skip"):
        load_weights(network(), wider(), head="new")


def test_a_new_classifier_is_small_has_no_bias_and_follows_the_seed():
    def drawn(seed):
        load_weights(network(), wider(), head="replace", seed=seed)
        return held()

    first, again, other = drawn(0), drawn(0), drawn(1)
    holds_the_expected(but=("classifier/kernel", "classifier/bias"))
    kernel = first["classifier/kernel"]
    assert 0.0095 < kernel.std() < 0.0105
    assert abs(kernel.mean()) < 0.001
    assert not first["classifier/bias"].any()
    assert (again["classifier/kernel"] == kernel).all()
    assert (other["classifier/kernel"] != kernel).any()


def test_features_alone_take_the_weights_of_a_whole_network():
    features = resnet50(include_top=False, size=32, initializer="zeros")
    gates = ("1x1_up", "1x1_down")
    tensors = {
        name: x for name, x in wider().items() if not any(g in name for g in gates)
    }
    with pytest.raises(SpecError, match="Only the classifier differs"):
        load_weights(features, tensors)
    assert load_weights(features, tensors, head="skip").complete


def test_flipped_channels_are_those_of_the_first_convolution_alone():
    load_weights(network(), as_pytorch(expected()), flip_channels=True)
    first = "conv1_7x7_s2/kernel"
    holds_the_expected(but=(first,))
    np.testing.assert_array_equal(held()[first], expected()[first][:, :, ::-1])


@pytest.fixture(scope="module")
def tiny(golden_dir):
    with np.load(golden_dir / "faces" / "tiny_dagnn_expected.npz") as file:
        golden = {name: file[name] for name in file.files}
    return golden_dir / "faces", golden


def outputs(network, golden):
    model = build_dagnn(network, (24, 24, 3), all_outputs=True)
    results = model(golden["x"].transpose(0, 2, 3, 1), training=False)
    return {
        name: np.asarray(value).transpose(0, 3, 1, 2).squeeze()
        for name, value in results.items()
    }


@pytest.mark.parametrize("name", ["tiny_dagnn.mat", "tiny_dagnn_wrapped.mat"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_network_of_matconvnet_gives_the_reference_outputs(tiny, name, backwards):
    folder, golden = tiny
    read = read_dagnn(folder / name)
    layers = read.layers[::-1] if backwards else read.layers
    received = outputs(DagNN(layers, read.params, read.meta), golden)
    for ours, key in (
        ("pool1", "pool1"),
        ("gate", "gate"),
        ("c3", "axpy_input_c3"),
        ("pool5", "pool5"),
        ("prediction", "logits"),
    ):
        worst = np.abs(received[ours] - golden[key]).max()
        assert worst < 1e-5 * np.abs(golden[key]).max(), key
    assert list(build_dagnn(read, (24, 24, 3)).output) == ["prediction"]
    variance = named_tensors(read)["conv1/7x7_s2/bn/sigma"].astype(float) ** 2 - 1e-5
    stored = golden["bn_running_var_equivalent_eps1e5"]
    np.testing.assert_allclose(variance, stored, rtol=1e-6)
    assert read.meta["normalization"]["averageImage"].shape == (3,)


def single(kind, block, params=(), **values):
    """Return a network of one layer."""
    return DagNN((DagLayer("a/b", kind, ("x",), ("y",), params, block),), values, {})


@pytest.mark.parametrize("method", ["max", "avg"])
@pytest.mark.parametrize("pad", [0, [1, 2], [0, 1, 2, 0]])
def test_pooling_a_constant_gives_the_constant_whatever_the_padding(method, pad):
    block = {"method": method, "poolSize": [3, 3], "pad": pad, "stride": 2}
    model = build_dagnn(single("Pooling", block), (9, 8, 2))
    received = model(np.full((1, 9, 8, 2), -3.0), training=False)["y"]
    np.testing.assert_allclose(received, -3.0, rtol=1e-6)


def test_filters_of_groups_see_their_own_channels():
    filters = np.ones((1, 1, 2, 6), np.float32)
    network = single("Conv", {"size": [1, 1, 2, 6]}, ("f",), f=filters)
    x = np.zeros((1, 3, 3, 4), np.float32)
    x[..., 0] = 1
    received = np.asarray(build_dagnn(network, (3, 3, 4))(x)["y"])
    np.testing.assert_array_equal(received[0, 0, 0], [1, 1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    "network, words",
    [
        (single("Swish", {}), "kind Swish; known are"),
        (
            DagNN((DagLayer("s", "Sum", ("x", "z"), ("y",), (), {}),), {}, {}),
            "one input",
        ),
        (
            DagNN((DagLayer("s", "Sum", ("x", "y"), ("y",), (), {}),), {}, {}),
            "circle",
        ),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(network, words):
    with pytest.raises(SpecError, match=words):
        build_dagnn(network, (3, 3, 4))


def test_the_dagnn_of_a_whole_network_gives_the_reference_weights(golden_dir):
    tensors = ferplus_tensors(golden_dir, "senet50_ferplus")
    model = senet50(size=32, initializer="zeros")
    load_weights(model, tensors)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    values = {
        f"{layer.name}/{weight.name}": keras.ops.convert_to_numpy(weight)
        for layer in model.layers
        for weight in layer.weights
        if "seed" not in weight.name
    }
    assert load_weights(model, named_tensors(as_dagnn(values))).complete
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_allclose(weight, old, rtol=1e-6, err_msg=weight.path)


def h5_with(link):
    def write(path):
        with h5py.File(path, "w") as file:
            file["a"] = link
            file["b/b/kernel:0"] = np.zeros(3)

    return write


def mat(**content):
    return lambda path: scipy.io.savemat(path, content)


def filters(size):
    """Write a convolution whose filters of 3 x 3 are said to have another size."""
    layer = {
        "name": "c",
        "type": "dagnn.Conv",
        "inputs": "x",
        "outputs": "y",
        "params": np.array(["f"], object),
        "block": {"size": np.array(size, float)},
    }
    return mat(layers=layer, params={"name": "f", "value": np.zeros((3, 3, 1, 2))})


def pickled(path):
    np.savez(path, a=np.array([Trap()], object))


def unnamed(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


HDF5_HEADER = b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM"


@pytest.mark.parametrize(
    "name, write, words",
    [
        ("a.bin", lambda path: path.write_bytes(b""), "ends in .pth"),
        ("a.npz", lambda path: path.write_bytes(b"PK\x03\x04damaged"), "NumPy"),
        ("a.npz", pickled, "allow_pickle"),
        ("a.npz", lambda path: np.savez(path), "found none"),
        ("a.npz", unnamed, "without a name"),
        ("a.npz", lambda path: path.write_bytes(pickle.dumps([1])), "NumPy"),
        ("a.h5", lambda path: path.write_bytes(b"\x89HDF damaged"), "Keras"),
        ("a.h5", h5_with(h5py.ExternalLink("/etc/passwd", "a")), "link"),
        ("a.h5", h5_with(h5py.SoftLink("/b")), "link"),
        ("a.mat", lambda path: path.write_bytes(b"damaged"), "MATLAB"),
        ("a.mat", lambda path: path.write_bytes(HDF5_HEADER * 9), "-v7"),
        ("a.mat", mat(x=np.zeros(3)), "found x"),
        ("a.mat", mat(layers=np.zeros(3), params=np.zeros(3)), "struct array"),
        ("a.mat", filters((5, 5, 1, 2)), r"\(5, 5, 1, 2\)"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, name, write, words):
    path = tmp_path / name
    write(path)
    with pytest.raises(DataError, match=words) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for read in (read_weights, read_dagnn, local_copy):
        with pytest.raises(DataError, match=r"nothing\.mat"):
            read(tmp_path / "nothing.mat")


@pytest.fixture
def server(tmp_path):
    """Serve one file of weights; count how often it is asked for."""
    head = {
        "classifier.weight": np.full((LABELS, 2048), 2, np.float32),
        "classifier.bias": np.full(LABELS, 3, np.float32),
    }
    np.savez(tmp_path / "served.npz", **head)
    content = (tmp_path / "served.npz").read_bytes()
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield SimpleNamespace(
        url=f"http://127.0.0.1:{server.server_port}/face%20net.npz?version=1",
        sha256=hashlib.sha256(content).hexdigest(),
        asked=asked,
    )
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_address_is_fetched_once_checked_and_loaded(server, tmp_path):
    folder = tmp_path / "cache"
    path = local_copy(server.url, server.sha256.upper(), folder)
    assert path.name.endswith("-face net.npz")
    assert path == local_copy(server.url, folder=folder)
    assert len(server.asked) == 1
    empty()
    report = load_pretrained(network(), server.url, folder=folder, partial=True)
    assert sorted(report.loaded) == ["classifier/bias", "classifier/kernel"]
    assert (held()["classifier/kernel"] == 2).all()
    assert len(server.asked) == 1
    assert local_copy(path, server.sha256) == path


def test_a_file_with_another_digest_is_not_kept(server, tmp_path):
    folder = tmp_path / "cache"
    with pytest.raises(DataError, match=server.sha256):
        local_copy(server.url, "0" * 64, folder)
    assert not [path for path in folder.iterdir() if path.is_file()]
    with pytest.raises(SpecError, match="64 hexadecimal"):
        local_copy(server.url, "0" * 63, folder)


def test_a_fetched_file_that_has_changed_is_refused(server, tmp_path):
    path = local_copy(server.url, folder=tmp_path / "cache")
    path.write_bytes(b"changed")
    for sha256 in (None, server.sha256):
        with pytest.raises(DataError, match=server.sha256):
            local_copy(server.url, sha256, tmp_path / "cache")
        with pytest.raises(DataError, match="Delete the file"):
            local_copy(path, server.sha256)


def test_a_server_that_is_not_there_is_named(tmp_path):
    patience = Patience(retries=0, timeout=2, sleep=lambda seconds: None)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9"):
        local_copy("http://127.0.0.1:9/a.npz", None, tmp_path, patience)
