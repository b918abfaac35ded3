"""I3D is the published network: equal to outputs of released code, layer by layer."""

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from skdgam.features.i3d import I3D, LAYERS, random_i3d_weights, read_i3d_weights

FIXTURE = Path(__file__).parents[2] / "shared/reference/video/i3d_fixture.npz"
SEEDS = {
    "rgb_16x224x224": 101,
    "rgb_blocks_16x224x224": 102,
    "rgb_blocks_19x197x215": 103,
    "rgb_blocks_24x112x112": 104,
    "flow_16x224x224": 201,
    "flow_blocks_16x224x224": 202,
    "flow_blocks_21x229x193": 203,
}


@pytest.fixture(scope="module")
def released():
    if not FIXTURE.exists():
        pytest.skip(f"{FIXTURE.name} is not beside this checkout")
    with np.load(FIXTURE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def networks():
    return {stream: I3D(random_i3d_weights(stream)) for stream in ("rgb", "flow")}


def snippet(group):
    """The input of a group of the reference outputs."""
    shape = (1, 3 if group.startswith("rgb") else 2, *map(int, group.split("_")[-1].split("x")))
    rng = np.random.default_rng(SEEDS[group])
    if "blocks" not in group:
        return rng.uniform(-1, 1, shape).astype(np.float32)
    sizes = (4, 16, 16)
    blocks = [-(-n // size) for n, size in zip(shape[2:], sizes, strict=True)]
    x = rng.uniform(-1, 1, (*shape[:2], *blocks)).astype(np.float32)
    for axis, size in enumerate(sizes, start=2):
        x = x.repeat(size, axis=axis)
    return np.ascontiguousarray(x[:, :, : shape[2], : shape[3], : shape[4]])


def apart(ours, expected):
    """Largest difference, in relation to the largest value."""
    return np.abs(ours - expected).max() / np.abs(expected).max()


def test_random_weights_are_those_of_the_reference(released):
    for stream in ("rgb", "flow"):
        weights = random_i3d_weights(stream)
        assert sorted(weights) == released["weights/names"].tolist()
        crc = [zlib.crc32(weights[name].numpy().tobytes()) for name in sorted(weights)]
        assert crc == released[f"weights/crc32_{stream}"].tolist()


@pytest.mark.parametrize("group", SEEDS)
def test_every_layer_is_equal_to_the_released_network(released, networks, group):
    network, x = networks[group.split("_")[0]], snippet(group)
    assert zlib.crc32(x.tobytes()) == released[f"{group}/input_crc32"]
    with torch.inference_mode():
        stages = dict(network.stages(torch.from_numpy(x)))
        pooled = network.pooled(torch.from_numpy(x)) if f"{group}/feature" in released else None
    for name, output in stages.items():
        output, told = output.numpy(), {k: released[f"{group}/{name}/{k}"] for k in ("mean", "std")}
        assert output.shape == tuple(released[f"{group}/{name}/shape"])
        assert output.mean(dtype=np.float64) == pytest.approx(told["mean"], rel=1e-5)
        assert output.std(dtype=np.float64) == pytest.approx(told["std"], rel=1e-5)
        for slice_of, part in {
            "first16": output.ravel()[:16],
            "last16": output.ravel()[-16:],
        }.items():
            np.testing.assert_allclose(
                part, released[f"{group}/{name}/{slice_of}"], rtol=0, atol=1e-4 * told["std"]
            )
    mean = stages["Mixed_5c"].mean(dim=(2, 3, 4)).numpy()
    assert apart(mean, released[f"{group}/global_mean"]) < 1e-5
    if pooled is not None:
        assert apart(pooled.numpy(), released[f"{group}/feature"]) < 1e-5
        logits = network.logits(pooled).numpy()
        assert apart(logits.ravel(), released[f"{group}/logits"].ravel()) < 1e-5


def test_features_of_snippets_are_the_average_pool(networks):
    x = torch.rand(2, 3, 16, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        features, pooled = networks["rgb"](x), networks["rgb"].pooled(x)
    assert features.shape == (2, 1024)
    assert pooled.shape == (2, 1024, 1, 1, 1)
    np.testing.assert_array_equal(features, pooled[:, :, 0, 0, 0])


# --- files ---


def as_kinetics_i3d_pytorch(name):
    """A name of pytorch-i3d as the other project has it."""
    branch = {"b0": "branch_0", "b1a": "branch_1.0", "b1b": "branch_1.1"}
    branch |= {"b2a": "branch_2.0", "b2b": "branch_2.1", "b3b": "branch_3.1"}
    name = re.sub(r"\.(b\d[ab]?)\.", lambda m: f".{branch[m[1]]}.", name)
    name = name.replace("logits.", "conv3d_0c_1x1.").replace(".bn.", ".batch3d.")
    layer, dot, rest = name.partition(".")
    return layer.lower() + dot + rest


@pytest.mark.parametrize("rename", [str, as_kinetics_i3d_pytorch], ids=["pytorch-i3d", "kinetics"])
@pytest.mark.parametrize("tracked", [True, False])
def test_published_files_are_read(tmp_path, rename, tracked):
    weights = random_i3d_weights("flow")
    state = {rename(name): value for name, value in weights.items()}
    if tracked:
        state |= {
            name.replace("running_mean", "num_batches_tracked"): torch.tensor(1)
            for name in state
            if name.endswith("running_mean")
        }
    torch.save(state, tmp_path / "flow.pt")
    again = read_i3d_weights(tmp_path / "flow.pt")
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"layer.weight": torch.zeros(2, 3)}, path)
    with pytest.raises(ValueError, match=r"Conv3d_1a_7x7.conv3d.weight must .*not there"):
        read_i3d_weights(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds no weights by name"):
        read_i3d_weights(path)
    path.write_text("no weights")
    with pytest.raises(ValueError, match="cannot be read as weights of I3D"):
        read_i3d_weights(path)
    with pytest.raises(FileNotFoundError):
        read_i3d_weights(tmp_path / "none.pt")


def test_a_tensor_of_another_shape_is_named(tmp_path):
    weights = random_i3d_weights() | {"Mixed_4d.b1b.bn.bias": torch.zeros(3)}
    torch.save(weights, tmp_path / "rgb.pt")
    with pytest.raises(ValueError, match=r"Mixed_4d.b1b.bn.bias must have shape \(256,\).*\(3,\)"):
        read_i3d_weights(tmp_path / "rgb.pt")


def test_a_file_that_would_execute_something_is_refused(tmp_path):
    torch.save({"a": Path("x")}, tmp_path / "rgb.pt")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_i3d_weights(tmp_path / "rgb.pt")


def test_other_streams_are_refused():
    with pytest.raises(ValueError, match="stream is 'depth'; it must be"):
        random_i3d_weights("depth")


def test_layers_are_those_of_the_paper():
    assert len(LAYERS) == 16
    n_parameters = sum(
        value.numel() for name, value in random_i3d_weights().items() if "running" not in name
    )
    assert n_parameters == 12_697_264
