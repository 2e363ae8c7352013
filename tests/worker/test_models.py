"""The models: what they are, what they refuse, and that they learn."""

from __future__ import annotations

import copy
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from lrcore.datasets.fake import Fake
from lrcore.errors import DataUnavailable
from lrcore.family import Member, describe, union
from lrcore.models import MODELS, AnyModel, Model
from lrcore.models.torchvision import NAMES, SIDES, VIT_PATCHES, TorchvisionModel, _models

PARSE: TypeAdapter[Model] = TypeAdapter(AnyModel)

OWN = [name for name, cls in MODELS.items() if cls is not TorchvisionModel]
SHAPES = [(1, 28, 28), (3, 32, 32), (2, 12, 20)]
SMALL: dict[str, dict[str, Any]] = {  # the same nets with fewer channels, for tests with many of them
    "resnet18": {"width": 4},
    "resnet9": {"width": 4},
    "vit": {"dim": 16, "depth": 1},
    "lstm": {"hidden_size": 8},
    "gru": {"hidden_size": 8},
    "mlp": {"hidden": [8]},
}


def spec(name: str, **options: Any) -> Model:
    return PARSE.validate_python({"type": name, **options})


def zoo(name: str, **options: Any) -> TorchvisionModel:
    model = spec(f"torchvision:{name}", **options)
    assert isinstance(model, TorchvisionModel)
    return model


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def images(shape: tuple[int, int, int]) -> Tensor:
    drawn = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    return drawn.contiguous(memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OWN)
def test_images_become_logits_and_every_parameter_has_a_gradient(name: str, shape: tuple[int, int, int]) -> None:
    model = spec(name)
    model.check(shape, 7)
    module = model.build(shape, 7).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    logits = module(images(shape))
    F.cross_entropy(logits, torch.tensor([0, 6])).backward()  # type: ignore[no-untyped-call]

    assert logits.shape == (2, 7)
    for parameter in module.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()
    assert module.eval()(images(shape)).shape == (2, 7)


@pytest.mark.parametrize("name", OWN)
def test_precision_and_memory_format_change_only_the_last_digits(name: str) -> None:
    shape = (3, 32, 32)
    module = spec(name, **SMALL.get(name, {})).build(shape, 10)
    plain = module(images(shape).contiguous())

    torch.testing.assert_close(copy.deepcopy(module)(images(shape)), plain)
    double = copy.deepcopy(module).double()(images(shape).double())
    torch.testing.assert_close(double, plain.double(), rtol=1e-3, atol=1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        half = module(images(shape))
    assert (half - plain).abs().max() < 0.1 * plain.abs().max()


@pytest.mark.parametrize("name", OWN)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    model = spec(name, **SMALL.get(name, {}))

    def built(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return list(model.build((1, 28, 28), 10).parameters())

    assert all(map(torch.equal, built(1), built(1)))
    assert not all(map(torch.equal, built(1), built(2)))


def recurrent(gates: int, inputs: int, hidden: int) -> int:
    return sum(gates * hidden * (n + hidden + 2) for n in (inputs, hidden)) + 10 * hidden + 10


@pytest.mark.parametrize(
    ("name", "options", "shape", "parameters"),
    [
        ("lenet", {}, (1, 28, 28), 61_706),
        ("mlp", {}, (1, 28, 28), 784 * 256 + 256 + 256 * 10 + 10),
        ("mlp", {"hidden": []}, (1, 28, 28), 7_850),
        ("lstm", {}, (1, 28, 28), recurrent(4, 28, 128)),
        ("gru", {}, (3, 32, 32), recurrent(3, 96, 128)),
        ("resnet", {"depth": 20}, (3, 32, 32), 269_722),
        ("resnet", {"depth": 32}, (3, 32, 32), 464_154),
        ("resnet", {"depth": 44}, (3, 32, 32), 658_586),
        ("resnet", {"depth": 56}, (3, 32, 32), 853_018),
        ("resnet", {"depth": 110}, (3, 32, 32), 1_727_962),
        ("resnet18", {}, (3, 32, 32), 11_173_962),
        ("resnet9", {}, (3, 32, 32), 6_573_120),
        ("vit", {}, (3, 32, 32), 810_890),
        ("torchvision:resnet18", {}, (3, 32, 32), 11_689_512 - 513 * 990),
    ],
)
def test_a_model_has_the_parameters_of_its_source(
    name: str, options: dict[str, Any], shape: tuple[int, int, int], parameters: int
) -> None:
    assert size(spec(name, **options).build(shape, 10)) == parameters


@pytest.mark.parametrize("depth", [20, 56])
def test_a_resnet_is_as_deep_as_it_says(depth: int) -> None:
    layers = [m for m in spec("resnet", depth=depth).build((3, 32, 32), 10).modules() if hasattr(m, "weight")]
    assert len([m for m in layers if isinstance(m, nn.Conv2d | nn.Linear)]) == depth


OPTIONS: list[tuple[str, str, Any]] = [
    ("mlp", "hidden", [100, 50]),
    ("mlp", "dropout", 0.5),
    ("resnet", "depth", 32),
    ("resnet18", "width", 8),
    ("resnet9", "width", 8),
    ("resnet9", "scale", 1.0),
    *[
        (name, option, value)
        for name in ("lstm", "gru")
        for option, value in [("hidden_size", 5), ("num_layers", 3), ("dropout", 0.5), ("bidirectional", True)]
    ],
    ("vit", "patch_size", 7),
    ("vit", "dim", 64),
    ("vit", "depth", 2),
    ("vit", "heads", 2),
    ("vit", "mlp_ratio", 1.0),
    ("vit", "dropout", 0.5),
    ("vit", "pool", "class"),
]


@pytest.mark.parametrize(("name", "option", "value"), OPTIONS)
def test_an_option_changes_what_a_model_computes(name: str, option: str, value: Any) -> None:
    def logits(model: Model) -> Tensor:
        torch.manual_seed(0)
        module = model.build((1, 28, 28), 10)
        torch.manual_seed(0)
        return module(images((1, 28, 28)))  # type: ignore[no-any-return]

    assert not torch.equal(logits(spec(name)), logits(spec(name, **{option: value})))


def test_every_option_is_tested() -> None:
    own = {name: MODELS[name].model_fields.keys() - Model.model_fields.keys() for name in OWN}

    assert {(name, option) for name, option, _ in OPTIONS} == {(n, option) for n in OWN for option in own[n]}


@pytest.mark.parametrize("name", ["vit", "mlp", "lstm"])
def test_dropout_is_for_training_alone(name: str) -> None:
    module = spec(name, dropout=0.5).build((1, 28, 28), 10)
    batch = images((1, 28, 28))

    assert not torch.equal(module(batch), module(batch))
    module.eval()
    assert torch.equal(module(batch), module(batch))


def test_pooling_in_front_of_the_relu_changes_no_value() -> None:
    module = spec("lenet").build((1, 28, 28), 10)
    assert isinstance(module, nn.Sequential)
    order = [0, 2, 1, 3, 5, 4, *range(6, 12)]
    usual = nn.Sequential(*(module[i] for i in order))

    assert torch.equal(module(images((1, 28, 28))), usual(images((1, 28, 28))))


def test_a_recurrent_net_reads_rows_from_the_top() -> None:
    module = spec("lstm", num_layers=1).build((1, 6, 5), 3)
    batch = images((1, 6, 5))
    hidden = module.rnn(batch[:, 0])[0][:, -1]  # type: ignore[operator]

    torch.testing.assert_close(module(batch), module.fc(hidden))  # type: ignore[operator]


def works(model: Model, shape: tuple[int, int, int]) -> bool:
    try:
        model.build(shape, 3)(images(shape))
    except Exception:
        return False
    return True


def accepts(model: Model, shape: tuple[int, int, int]) -> bool:
    try:
        model.check(shape, 3)
    except ValueError:
        return False
    return True


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", OWN)
def test_a_model_refuses_the_sizes_that_it_cannot_take_and_no_others(name: str) -> None:
    model = spec(name, **SMALL.get(name, {}))
    shapes = [(1, side, side) for side in range(1, 41)] + [(1, 7, 40), (1, 40, 11), (1, 12, 40), (1, 1, 9)]
    for shape in shapes:
        if name == "vit":  # it would leave pixels out
            assert accepts(model, shape) == (shape[1] % 4 == 0 and shape[2] % 4 == 0)
        else:
            assert accepts(model, shape) == works(model, shape), shape
        if accepts(model, shape):
            assert works(model, shape)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {"hidden": [0]}),
        ("mlp", {"hidden": [], "dropout": 0.1}),
        ("lstm", {"num_layers": 1, "dropout": 0.1}),
        ("gru", {"dropout": 1.0}),
        ("resnet", {"depth": 18}),
        ("vit", {"dim": 100, "heads": 3}),
        ("vit", {"dim": 1, "heads": 1, "mlp_ratio": 0.1}),
        ("torchvision:resnet18", {"weights": "../resnet18"}),
        ("torchvision:resnet18", {"weights": ""}),
        ("torchvision:resnet19", {}),
    ],
)
def test_what_fits_no_images_is_refused_at_once(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(name, **options)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", OWN)
def test_a_model_learns(name: str) -> None:
    data = Fake(type="fake", samples=256, channels=3, image_size=16, classes=4, noise=0.3)
    splits = data.load(Path("/nonexistent"))
    assert isinstance(splits.train_images, np.ndarray)
    batches = torch.split(torch.from_numpy(splits.train_images).float().div(255).sub(0.5), 32)
    labels = torch.split(torch.from_numpy(splits.train_labels), 32)
    model = spec(name, **({"width": 8} if name in ("resnet18", "resnet9") else {}))
    module = model.build(data.image_shape, data.num_classes)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    losses = []
    for _ in range(3):
        for batch, label in zip(batches, labels, strict=True):
            loss = F.cross_entropy(module(batch), label)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())

    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])


# torchvision's models


def test_the_zoo_is_what_torchvision_lists() -> None:
    models = _models()

    assert sorted(NAMES) == sorted(models.list_models(module=models))
    assert [name for name in MODELS if name.startswith("torchvision:")] == [f"torchvision:{n}" for n in sorted(NAMES)]


def test_what_transformers_want_of_images_is_what_torchvision_says() -> None:
    models = _models()
    for name in VIT_PATCHES:
        with torch.device("meta"):
            assert models.get_model_builder(name)().patch_size == VIT_PATCHES[name]
    for name in [*VIT_PATCHES, "maxvit_t"]:
        for weights, entry in models.get_model_weights(name).__members__.items():
            assert entry.meta["min_size"] == (SIDES.get((name, weights), 224),) * 2
            zoo(name, weights=weights).check((3, *entry.meta["min_size"]), 10)


def test_a_class_with_several_names_is_a_member_under_each_of_them() -> None:
    assert MODELS["torchvision:vgg11"] is MODELS["torchvision:swin_t"] is TorchvisionModel
    assert zoo("vgg11").architecture == "vgg11"
    assert describe(TorchvisionModel, "torchvision:vgg11")["example"]["type"] == "torchvision:vgg11"
    assert "torchvision:vgg11" in TorchvisionModel.names()
    assert [cls.name() for cls in MODELS.values() if cls is not TorchvisionModel] == OWN


def test_a_union_holds_a_class_with_several_names_once() -> None:
    class Twin(Member):
        """A member with two names."""

        type: Literal["left", "right"]

    assert union({"left": Twin, "right": Twin}) is Twin


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("resnet18", 32),
        ("mobilenet_v2", 32),
        ("squeezenet1_1", 17),
        ("googlenet", 15),
        ("shufflenet_v2_x0_5", 1),
        ("swin_t", 4),
    ],
)
def test_a_model_of_the_zoo_takes_grey_images(name: str, side: int) -> None:
    model, shape = zoo(name), (1, side, side)
    model.check(shape, 5)
    module = copy.deepcopy(model.build(shape, 5)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    logits = module(images(shape))
    logits.sum().backward()

    assert logits.shape == (2, 5)
    module.eval()
    grey = module(images(shape))
    assert grey.shape == (2, 5)
    module._forward_pre_hooks.clear()
    torch.testing.assert_close(module(images(shape).repeat(1, 3, 1, 1)), grey)


def test_grey_images_change_no_parameter_s_name() -> None:
    grey, coloured = (zoo("mobilenet_v3_small").build((channels, 32, 32), 5) for channels in (1, 3))
    assert list(grey.state_dict()) == list(coloured.state_dict())
    assert not coloured._forward_pre_hooks


@pytest.mark.parametrize(
    ("name", "options", "shape", "limit"),
    [
        ("resnet18", {}, (2, 32, 32), "1 or 3 channels, not 2"),
        ("resnet18", {}, (4, 32, 32), "1 or 3 channels, not 4"),
        ("alexnet", {}, (3, 62, 100), "at least 63x63, not 62x100"),
        ("vgg16_bn", {}, (3, 31, 31), "at least 32x32"),
        ("convnext_tiny", {}, (3, 31, 32), "at least 32x32"),
        ("densenet121", {}, (3, 28, 28), "at least 29x29"),
        ("googlenet", {}, (3, 14, 14), "at least 15x15"),
        ("inception_v3", {}, (3, 74, 74), "at least 75x75"),
        ("squeezenet1_0", {}, (3, 20, 20), "at least 21x21"),
        ("squeezenet1_1", {}, (3, 16, 16), "at least 17x17"),
        ("swin_v2_t", {}, (3, 3, 3), "at least 4x4"),
        ("maxvit_t", {}, (3, 256, 256), "multiples of 224, not 256x256"),
        ("maxvit_t", {"weights": "DEFAULT"}, (3, 448, 448), "224x224 with weights DEFAULT"),
        ("vit_b_32", {}, (3, 32, 64), "square"),
        ("vit_h_14", {}, (3, 32, 32), "multiple of 14"),
        ("vit_b_16", {"weights": "DEFAULT"}, (3, 32, 32), "224x224 with weights DEFAULT, not 32x32"),
        ("vit_b_16", {"weights": "IMAGENET1K_SWAG_E2E_V1"}, (3, 224, 224), "384x384"),
    ],
)
def test_a_model_of_the_zoo_refuses_images_it_cannot_take(
    name: str, options: dict[str, Any], shape: tuple[int, int, int], limit: str
) -> None:
    with pytest.raises(ValueError, match=limit):
        zoo(name, **options).check(shape, 10)


@pytest.mark.parametrize("name", ["googlenet", "squeezenet1_0", "squeezenet1_1"])
def test_a_smaller_image_than_the_smallest_does_not_work(name: str) -> None:
    model = zoo(name)
    side = next(side for side in range(1, 100) if accepts(model, (3, side, side)))

    assert works(model, (3, side, side))
    assert not works(model, (3, side - 1, side - 1))


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch looks for downloaded weights: an empty folder, and no network behind it."""

    def offline(*arguments: Any, **options: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def put_weights(folder: Path, name: str, weights: str = "DEFAULT", **options: Any) -> dict[str, Tensor]:
    """Write a file as torchvision would have downloaded it; what is in it."""
    models = _models()
    state: dict[str, Tensor] = models.get_model_builder(name)(**options).state_dict()
    torch.save(state, folder / models.get_model_weights(name)[weights].url.rsplit("/", 1)[1])
    return state


@pytest.mark.parametrize(
    ("name", "side", "head", "options"),
    [
        ("resnet18", 32, "fc.", {}),
        ("squeezenet1_1", 32, "classifier.1.", {}),
        ("googlenet", 32, "fc.", {"aux_logits": True, "init_weights": False}),
        ("mobilenet_v3_small", 32, "classifier.3.", {}),
    ],
)
def test_a_pretrained_model_is_the_file_with_a_new_last_layer(
    name: str, side: int, head: str, options: dict[str, Any], torch_home: Path
) -> None:
    file = put_weights(torch_home, name, **options)
    module = zoo(name, weights="DEFAULT").build((1, side, side), 5)
    new = zoo(name).build((1, side, side), 5)

    state = module.state_dict()
    assert {key: value.shape for key, value in state.items()} == {k: v.shape for k, v in new.state_dict().items()}
    for key, value in state.items():
        assert key.startswith(head) or torch.equal(value, file[key]), key
    assert state[f"{head}weight"].shape[0] == 5
    assert all(parameter.requires_grad for parameter in module.parameters())
    for mode in (True, False):
        assert module.train(mode)(images((1, side, side))).shape == (2, 5)


def test_a_pretrained_inception_has_no_auxiliary_classifier(torch_home: Path) -> None:
    put_weights(torch_home, "inception_v3", init_weights=False)
    module = zoo("inception_v3", weights="IMAGENET1K_V1").build((3, 75, 75), 5)

    assert module(images((3, 75, 75))).shape == (2, 5)
    assert not [name for name, _ in module.named_parameters() if "Aux" in name]


def test_weights_that_torchvision_does_not_have_are_refused_with_those_it_has(torch_home: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"resnet50 has no weights IMAGENET21K; .*IMAGENET1K_V1, .*DEFAULT"):
        zoo("resnet50", weights="IMAGENET21K").build((3, 32, 32), 10)


def test_weights_without_a_classifier_are_not_offered(torch_home: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"there are IMAGENET1K_V1, DEFAULT$"):
        zoo("vgg16", weights="IMAGENET1K_FEATURES").build((3, 32, 32), 10)


def test_weights_that_cannot_be_downloaded_say_so(torch_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataUnavailable, match=r"TORCH_HOME.*no network.*https://download.pytorch.org/models/resnet18-"):
        zoo("resnet18", weights="DEFAULT").build((3, 32, 32), 10)
    assert not capsys.readouterr().out


def test_a_damaged_file_of_weights_says_so(torch_home: Path) -> None:
    put_weights(torch_home, "resnet18")
    (file,) = torch_home.iterdir()
    file.write_bytes(file.read_bytes()[:1000])

    with pytest.raises(DataUnavailable, match="damaged"):
        zoo("resnet18", weights="DEFAULT").build((3, 32, 32), 10)
