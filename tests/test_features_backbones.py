"""Backbones see snippets as they were trained to; libraries that are not here have stand-ins."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skdgam.features.backbones import BACKBONES, SAMPLING, Backbone, named_backbone
from skdgam.features.i3d import I3D, random_i3d_weights

CPU, FLOAT32 = torch.device("cpu"), torch.float32


class Seen(nn.Module):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        Seen.given = x
        return x.mean(dim=(2, 3, 4)) * self.scale


def snippets(n=2, frames=4, side=8, channels=3):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, frames, side, side, channels), dtype=np.uint8)


def test_a_module_is_given_channels_first_in_minus_one_to_one():
    given = snippets()
    features = Backbone(Seen()).on(CPU, FLOAT32)(given)
    expected = given.astype(np.float32).transpose(0, 4, 1, 2, 3) / 127.5 - 1
    np.testing.assert_allclose(Seen.given.numpy(), expected, atol=1e-6)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.mean(axis=(2, 3, 4)), atol=1e-6)


def test_each_channel_has_its_mean_and_deviation():
    mean, std = (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)
    Backbone(Seen(), mean=mean, std=std).on(CPU, FLOAT32)(given := snippets())
    expected = (given / 255 - mean) / std
    np.testing.assert_allclose(Seen.given.movedim(1, -1).numpy(), expected, atol=1e-5)


def test_a_function_is_given_bytes():
    function = Backbone(lambda x: x.dtype.name + str(x.shape)).on(CPU, FLOAT32)
    assert function(snippets()) == "uint8(2, 4, 8, 8, 3)"


def test_a_module_of_the_caller_is_left_as_it_was():
    module = nn.Sequential(nn.Dropout(0.5), Seen()).train()
    module[1].scale.grad = torch.ones(1)
    backbone = Backbone(module)
    first, second = (backbone.on(CPU, torch.bfloat16)(snippets()) for _ in range(2))
    np.testing.assert_array_equal(first, second)  # as it is evaluated, not trained
    assert module.training
    assert module[1].scale.dtype == FLOAT32
    assert module[1].scale.grad is not None


def test_precision_is_that_of_products():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4 * 8 * 8 * 3, 5))
    exact, rough = (
        Backbone(linear).on(CPU, dtype)(snippets()) for dtype in (FLOAT32, torch.bfloat16)
    )
    assert 0 < np.abs(exact - rough).max() < 0.05


def test_i3d_is_read_from_its_file(tmp_path):
    weights = random_i3d_weights("flow", seed=3)
    torch.save(weights, tmp_path / "flow.pt")
    backbone = named_backbone("i3d", tmp_path / "flow.pt", "flow")
    given = snippets(1, 16, 32, 2)
    expected = I3D(weights)(torch.from_numpy(given).movedim(-1, 1) / 127.5 - 1)
    features = backbone.on(CPU, FLOAT32)(given)
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert (backbone.frames, backbone.fps, backbone.resize, backbone.crop) == (16, 25, 256, 224)
    with pytest.raises(ValueError, match=r"flow.pt holds weights for flow, but stream='rgb'"):
        named_backbone("i3d", tmp_path / "flow.pt", "rgb")


def test_i3d_says_where_weights_are_had():
    with pytest.raises(ValueError, match=r"flow_imagenet\.pt of pytorch-i3d.*weights=PATH"):
        named_backbone("i3d", None, "flow")


def test_random_weights_are_told():
    with pytest.warns(UserWarning, match="i3d has random weights: its features mean nothing"):
        named_backbone("i3d", "random", "rgb")


def test_what_is_no_backbone_is_refused():
    with pytest.raises(ValueError, match="backbone='c3d', but it must be one of i3d, r3d_18"):
        named_backbone("c3d", None, "rgb")
    with pytest.raises(ValueError, match="backbone='s3d' takes no flow"):
        named_backbone("s3d", None, "flow")


@pytest.mark.parametrize("name", BACKBONES[1:])
def test_a_library_that_is_absent_is_named(monkeypatch, name):
    for library in ("torchvision", "transformers"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match="pip install (torchvision|transformers)"):
        named_backbone(name, None, "rgb")


@pytest.fixture
def torchvision(monkeypatch):
    """What a backbone asks of torchvision: a network with its head last, and its recipe."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.fc = Seen(), nn.Linear(3, 400)

        def forward(self, x):
            return self.fc(self.stem(x))

    recipe = SimpleNamespace(
        resize_size=[128, 171], crop_size=[112, 112], mean=[0.4, 0.4, 0.4], std=[0.2, 0.2, 0.2]
    )
    pretrained = SimpleNamespace(transforms=lambda: recipe)
    asked = []
    models = ModuleType("torchvision.models")
    models.get_model_weights = lambda name: SimpleNamespace(DEFAULT=pretrained)
    models.get_model = lambda name, weights: asked.append((name, weights)) or Network()
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    sys.modules["torchvision"].models = models
    return SimpleNamespace(asked=asked, pretrained=pretrained, Network=Network)


def test_a_network_of_torchvision_loses_its_head_and_keeps_its_recipe(torchvision):
    backbone = named_backbone("r3d_18", None, "rgb")
    assert torchvision.asked == [("r3d_18", torchvision.pretrained)]
    assert (backbone.frames, backbone.fps) == SAMPLING["r3d_18"] == (16, 15)
    assert (backbone.resize, backbone.crop) == ((128, 171), 112)
    assert backbone.mean == (0.4, 0.4, 0.4)
    assert backbone.on(CPU, FLOAT32)(snippets()).shape == (2, 3)


def test_a_state_of_a_network_of_torchvision_is_read(torchvision, tmp_path):
    state = torchvision.Network().state_dict() | {"stem.scale": torch.tensor([2.0])}
    torch.save(state, tmp_path / "state.pt")
    (read,) = (named_backbone("s3d", tmp_path / "state.pt", "rgb").network.stem.scale,)
    assert read.item() == 2
    assert torchvision.asked == [("s3d", None)]


@pytest.fixture
def transformers(monkeypatch):
    """What a backbone asks of transformers."""

    class Network(nn.Module):
        config = SimpleNamespace(model_type="vjepa2", image_size=224, crop_size=256)

        def forward(self, x, **options):
            Network.given, Network.options = x, options
            return SimpleNamespace(last_hidden_state=torch.arange(12.0).reshape(2, 3, 2))

    class Processor:
        known = {"image_mean": [0.1, 0.1, 0.1], "image_std": [0.2, 0.2, 0.2]}

        @classmethod
        def get_image_processor_dict(cls, source):
            if cls.known is None:
                raise OSError("no such file")
            return cls.known, {}

    library, processing = ModuleType("transformers"), ModuleType("image_processing_utils")
    library.AutoModel = SimpleNamespace(from_pretrained=lambda source: Network())
    processing.BaseImageProcessor = Processor
    monkeypatch.setitem(sys.modules, "transformers", library)
    monkeypatch.setitem(sys.modules, "transformers.image_processing_utils", processing)
    return SimpleNamespace(Network=Network, Processor=Processor)


def test_a_network_of_transformers_is_given_frames_first_and_its_tokens_averaged(transformers):
    backbone = named_backbone("vjepa2", "folder", "rgb")
    assert (backbone.resize, backbone.crop, backbone.mean) == (292, 256, (0.1, 0.1, 0.1))
    features = backbone.on(CPU, FLOAT32)(snippets())
    np.testing.assert_array_equal(features, [[2, 3], [8, 9]])
    assert transformers.Network.given.shape == (2, 4, 3, 8, 8)
    assert transformers.Network.options == {"skip_predictor": True}
    transformers.Processor.known = None
    assert named_backbone("vjepa2", "folder", "rgb").mean == (0.485, 0.456, 0.406)


def test_another_network_of_transformers_is_refused(transformers):
    with pytest.raises(ValueError, match="folder is a vjepa2, and backbone='videomae'"):
        named_backbone("videomae", "folder", "rgb")


# --- with the libraries themselves, where they are ---


@pytest.mark.parametrize("name", ["r3d_18", "s3d", "mvit_v2_s", "swin3d_t"])
def test_features_of_torchvision_are_what_its_classifier_is_given(name):
    models = pytest.importorskip("torchvision.models")
    with pytest.warns(UserWarning, match="random weights"):
        backbone = named_backbone(name, "random", "rgb")
    given = snippets(1, backbone.frames, backbone.crop)
    features = backbone.on(CPU, FLOAT32)(given)
    network = models.get_model(name).eval()
    network.load_state_dict(backbone.network.state_dict(), strict=False)
    *_, (_, head) = network.named_children()
    seen = []
    head.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    mean, std = (
        torch.tensor(value)[:, None, None, None] for value in (backbone.mean, backbone.std)
    )
    with torch.inference_mode():
        network(((torch.from_numpy(given).movedim(-1, 1) / 255 - mean) / std).float())
    expected = seen[0].reshape(1, features.shape[1], -1).mean(dim=2)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["videomae", "vjepa2"])
def test_features_of_transformers_are_the_mean_of_its_tokens(tmp_path, name):
    library = pytest.importorskip("transformers")
    config = library.AutoConfig.for_model(name)
    small = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}
    small |= {"pred_hidden_size": 48, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 4}
    config.update({key: value for key, value in small.items() if hasattr(config, key)})
    network = library.AutoModel.from_config(config).eval()
    network.save_pretrained(tmp_path)
    backbone = named_backbone(name, str(tmp_path), "rgb")
    given = snippets(1, backbone.frames, backbone.crop)
    x = (torch.from_numpy(given) / 255 - torch.tensor(backbone.mean)) / torch.tensor(backbone.std)
    with torch.inference_mode():
        tokens = network(x.permute(0, 1, 4, 2, 3).float()).last_hidden_state
    features = backbone.on(CPU, FLOAT32)(given)
    np.testing.assert_allclose(features, tokens.mean(dim=1), rtol=1e-3, atol=1e-4)
