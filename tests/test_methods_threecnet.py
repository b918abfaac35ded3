"""3C-Net against outputs of its released implementation."""

import numpy as np
import pytest
import torch
from released_methods import (
    Reference,
    assert_detections,
    assert_gradients,
    assert_one_step,
    batch_of,
)
from scipy.sparse import csr_array

from skdgam import losses
from skdgam.datasets import make_untrimmed
from skdgam.methods import ThreeCNetLocalizer

N_VALID = [40, 40, 23, 4, 31]
LONG = [0, 1, 2, 4]  # the released code leaves a video of less than five snippets out of L_cls
NAMES = {
    **{f"streams.{k}.0": f"fc_{s}" for k, s in enumerate("rf")},
    **{f"streams.{k}.1": f"fc1_{s}" for k, s in enumerate("rf")},
    **{f"streams.{k}.2": f"classifier_{s}" for k, s in enumerate("rf")},
    "centers.0": "centers_rgb",
    "centers.1": "centers_flow",
}


class Released(Reference):
    def weights(self, prefix):
        found = super().weights(prefix)
        scales = [self.arrays[f"{prefix}mul_{s}"] for s in "rf"]
        found["scales"] = np.stack(scales).astype(np.float32)
        if f"{prefix}conv.weight" in self.arrays:
            found["taps.weight"] = self[f"{prefix}conv.weight"][:, 0].astype(np.float32)
        return found


@pytest.fixture(scope="module")
def reference(shared_file):
    return Released(shared_file("reference/methods/threecnet.npz"), NAMES)


def fitted(reference, run="train", **params):
    of_activitynet = {"temporal_conv": True, "class_share": 0.0, "proposal_threshold": 0.0}
    changes = of_activitynet if run == "anet" else {}
    model = ThreeCNetLocalizer(**{"dropout": 0.0, "snippet_seconds": 1.0} | changes | params)
    return model._set_weights(np.arange(4), reference.weights(f"{run}.weight."), n_features=16)


def batch(reference, run, chosen=range(5)):
    X = [reference["train.x"][i][: N_VALID[i]] for i in chosen]
    masks = None
    if run == "drop":
        masks = [reference[f"drop.mask_{stream}"] for stream in ("rgb", "flow")]
        masks = [np.concatenate([mask[i][: N_VALID[i]] for i in chosen]) for mask in masks]
    return batch_of(X, reference["train.labels"][list(chosen)], masks=masks)


def released_center(network, whole, dropout, single):
    """L_center of each stream as released: class numbers are weights, and N divides twice."""
    _, of_streams = network.describe(whole, dropout)
    found = []
    for (features, logits), centers in zip(of_streams, network.centers, strict=True):
        terms = []
        sides = zip(whole.of_videos(features), whole.of_videos(logits), strict=True)
        for (h, s), labels in zip(sides, whole.labels, strict=True):
            distances = losses.center_distances(h, s, centers)
            if labels.sum() == 1 or not single:
                terms += [c * distances[c] for c in labels.nonzero()[:, 0].tolist()]
        found.append(torch.stack(terms).sum() / len(terms) ** 2)
    return found


def released_count(reference, network, whole, dropout, run):
    """L_count as released: of THUMOS14, over the classes that have annotations only."""
    columns = reference["train.count_classes"].tolist() if run != "anet" else [0, 1, 2, 3]
    counts = torch.from_numpy(reference["train.counts"]).float()[:, columns]
    activation, _ = network.describe(whole, dropout)
    of_videos = zip(whole.of_videos(activation[:, columns]), counts, strict=True)
    return sum(losses.count_loss(a, n) for a, n in of_videos) / len(counts)


def released_loss(reference, model, network, run):
    """The losses by their names there, and their sum."""
    terms = model._losses(network, batch(reference, run, LONG))
    center = released_center(
        network, batch(reference, run), model.dropout, run in ("train", "drop")
    )
    found = {
        "loss_cls_tcam": terms["classification"][1],
        "loss_cls_rgb": terms["first_stream"][1],
        "loss_cls_flow": terms["second_stream"][1],
        "loss_center_rgb": center[0],
        "loss_center_flow": center[1],
    }
    if run != "late":  # an iteration without counts
        whole = batch(reference, run)
        found["loss_count"] = released_count(reference, network, whole, model.dropout, run)
    return found, sum(found[name] * (1e-3 if "center" in name else 1) for name in found)


@pytest.mark.parametrize("run", ["train", "late", "drop"])
def test_losses_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference, run, dropout=0.7)
    found, _ = released_loss(reference, model, model._fitted_network(), run)
    for name, value in found.items():
        assert value.item() == pytest.approx(float(reference[f"{run}.{name}"]), rel=1e-5), name


def test_the_convolution_is_that_of_the_released_implementation(reference):
    # Of videos that it has not filled up with rows of zeros, which its convolution looks at.
    model = fitted(reference, "anet")
    activation, _ = model._fitted_network().describe(batch(reference, "anet", [0, 1]))
    np.testing.assert_allclose(
        activation[:80], reference["anet.tcam"][:2].reshape(80, 4), atol=1e-5
    )


@pytest.mark.parametrize("run", ["train", "late"])
def test_gradients_and_a_step_are_those_of_the_released_implementation(reference, run):
    model = fitted(reference, run)
    network = model._fitted_network().requires_grad_(True)
    _, loss = released_loss(reference, model, network, run)
    loss.backward()
    assert loss.item() == pytest.approx(float(reference[f"{run}.loss_total"]), rel=1e-5)
    expected = reference.weights(f"{run}.grad.")
    for name in ("centers.0", "centers.1"):
        expected[name] = 1e-3 * expected[name]  # there it is that of the center loss itself
    assert_gradients(network, expected)
    (stage,) = model._stages()
    named = dict(network.named_parameters())
    descent = torch.optim.SGD([*network.centers], lr=stage.plain["centers."])
    learned = [p for name, p in named.items() if not name.startswith("centers.")]
    adam = torch.optim.Adam(learned, lr=1e-4, weight_decay=stage.weight_decay)
    descent.step()
    adam.step()
    after = reference.weights(f"{run}.after.")
    assert_one_step(network, after, model.weights_, expected | {"taps.weight": np.zeros(0)})


@pytest.mark.parametrize("run", ["train", "anet"])
@pytest.mark.parametrize("i", range(4))
def test_detections_are_those_of_the_released_implementation(reference, run, i):
    prefix = f"test{'anet' if run == 'anet' else ''}{i}"
    model, video = fitted(reference, run, standardize=False), reference[f"{prefix}.video"]
    (tcam,) = model._map_snippets(lambda net, batch: net(batch)[1], [video.astype(np.float32)])
    np.testing.assert_allclose(tcam[:, :4], reference[f"{prefix}.tcam"], atol=1e-5)
    assert_detections(model.predict([video])[0], reference[f"{prefix}.detections"])


def test_the_center_loss_by_hand(reference):
    model = fitted(reference)
    network = model._fitted_network()
    whole = batch(reference, "train")
    _, of_streams = network.describe(whole)
    expected = np.zeros(5)
    for (features, logits), centers in zip(of_streams, network.centers, strict=True):
        sides = zip(whole.of_videos(features), whole.of_videos(logits), strict=True)
        for i, (h, s) in enumerate(sides):
            distances = losses.center_distances(h, s, centers)
            expected[i] += (distances * whole.labels[i]).sum() / whole.labels[i].sum()
    is_single = whole.labels.sum(dim=1).numpy() == 1
    assert 0 < is_single.sum() < 5
    early = model._losses(network, whole)["center"][1].item()
    assert early == pytest.approx(expected[is_single].sum() / 5, rel=1e-5)
    object.__setattr__(whole, "progress", 0.5)
    assert model._losses(network, whole)["center"][1].item() == pytest.approx(
        expected.sum() / 5, rel=1e-5
    )


def test_snippets_below_the_mean_have_no_part_in_a_center():
    features = torch.tensor([[5.0], [1.0], [3.0]])
    logits = torch.tensor([[0.0], [9.0], [9.0]])
    assert losses.center_distances(features, logits, torch.zeros(1, 1)).item() == pytest.approx(4)


def test_the_count_loss_is_that_of_the_released_implementation_of_activitynet(reference):
    counts = torch.from_numpy(reference["train.counts"]).float()
    of_videos = zip(reference["anet.tcam"], N_VALID, counts, strict=True)
    found = [losses.count_loss(torch.from_numpy(a[:n]).float(), own) for a, n, own in of_videos]
    expected = float(reference["anet.loss_count"])
    assert torch.stack(found).mean().item() == pytest.approx(expected, rel=1e-5)


def test_the_count_loss_by_hand():
    # Equal activations over time are the predicted count: here 2, 1 and -3.
    activation = torch.tensor([[2.0, 1.0, -3.0]]).expand(5, 3)
    assert losses.count_loss(activation, torch.tensor([4.0, 0.0, 1.0])).item() == pytest.approx(
        2 / 4 + 0.001 * 1 + 4 / 1
    )
    never = losses.count_loss(activation, torch.zeros(3)).item()
    assert never == pytest.approx(0.001 * 6)
    assert losses.count_loss(activation, torch.full((3,), 5.0)).item() == never


@pytest.fixture(scope="module")
def short_and_long():
    X, y = make_untrimmed(n_videos=12, n_classes=2, n_features=(4, 4), random_state=0)
    return [x[: 20 + 10 * (i % 2)] for i, x in enumerate(X)], y


def counts_in_training(X, y, sample_weight=None, **params):
    """How many snippets each video has that training sees, and its counts."""
    seen = []

    class Watched(ThreeCNetLocalizer):
        def _losses(self, network, batch):
            seen.extend(zip(batch.lengths.tolist(), batch.counts.tolist(), strict=True))
            return super()._losses(network, batch)

    model = Watched(count=1.0, batch_size=1, random_state=0, **params)
    model.partial_fit(X, y, sample_weight=sample_weight)
    return seen


def test_labels_are_counted_as_often_as_they_are_named():
    X = [np.ones((n, 4), dtype=np.float32) for n in (5, 6, 7, 8)]
    lists = [["b", "a", "b"], ["a"], [], ["a", "b"]]
    intervals = [[(k, k + 1, label) for k, label in enumerate(entry)] for entry in lists]
    expected = {5: [1, 2], 6: [1, 0], 7: [0, 0], 8: [1, 1]}
    for y in (lists, intervals):
        assert dict(counts_in_training(X, y, standardize=False)) == expected


def test_sets_single_labels_and_matrices_do_not_say_how_often():
    X = [np.ones((n, 4), dtype=np.float32) for n in (5, 6, 7, 8)]
    found = counts_in_training(X, [["a", "a"], {"a", "b"}, set(), "b"], standardize=False)
    assert dict(found) == {5: [2, 0], 6: [-1, -1], 7: [0, 0], 8: [-1, -1]}
    matrix = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
    for y in (matrix, csr_array(matrix)):
        found = counts_in_training(X, y, standardize=False)
        assert dict(found) == {5: [-1, -1], 6: [-1, -1], 7: [0, 0], 8: [-1, -1]}


def test_counts_stay_with_their_videos_where_others_are_left_out():
    X = [np.ones((n, 4), dtype=np.float32) for n in range(5, 11)]
    y = [None, ["a", "b"], ["b", "b"], None, ["a", "a", "a"], ["b"]]
    found = counts_in_training(X, y, standardize=False)
    assert dict(found) == {6: [1, 1], 7: [0, 2], 9: [3, 0], 10: [0, 1]}
    found = counts_in_training(X, y, sample_weight=[1, 1, 0, 1, 1, 1], standardize=False)
    assert dict(found) == {6: [1, 1], 9: [3, 0], 10: [0, 1]}


def test_videos_of_which_a_part_is_seen_have_no_count_loss(short_and_long):
    X, y = short_and_long
    seen = counts_in_training(X, y, n_snippets=20)
    assert len(seen) == 12
    assert [*map(len, X)].count(30) == sum(counts == [-1, -1] for _, counts in seen) == 6


def test_counts_of_no_video_that_training_sees_are_told(short_and_long):
    X, y = short_and_long
    labels = [{label for *_, label in video} for video in y]
    is_short = [len(x) == 20 for x in X]
    for changes, given, weights, told in (
        ({"n_snippets": 19}, y, None, "of no video that n_snippets=19 leaves whole. In Python"),
        ({"n_snippets": 20}, y, ~np.array(is_short), "of no video that n_snippets=20 leaves whole"),
        (
            {"n_snippets": None},
            labels,
            None,
            r"n_snippets=None leaves whole\. In Python, give annotations",
        ),
    ):
        model = ThreeCNetLocalizer(count=1.0, max_epochs=1, **changes)
        with pytest.raises(ValueError, match=told):
            model.fit(X, given, sample_weight=weights)
        assert not hasattr(model, "weights_")
        model.partial_fit(X, given, sample_weight=weights)  # others may come
        assert model.history_["count"].tolist() == [0]


def test_unknown_counts_weigh_nothing(reference):
    model = fitted(reference).set_params(count=0.5)
    whole, network = batch(reference, "train"), model._fitted_network()
    counts = torch.from_numpy(reference["train.counts"]).float()
    activation, _ = network.describe(whole)
    of_videos = zip(whole.of_videos(activation), counts, strict=True)
    expected = [losses.count_loss(*each) for each in of_videos]
    counts[[1, 3]] = -1
    object.__setattr__(whole, "counts", counts)
    weight, found = model._losses(network, whole)["count"]
    assert weight == 0.5
    assert found.item() == pytest.approx(sum(expected[i].item() for i in (0, 2, 4)) / 5)


def test_lists_that_name_no_class_twice_are_told(short_and_long):
    X, y = short_and_long
    labels = [sorted({label for *_, label in video}) for video in y]
    model = ThreeCNetLocalizer(count=0.1, max_epochs=2, random_state=0)
    with pytest.warns(UserWarning, match=r"count=0\.1 .* no class of a video twice"):
        model.fit(X, labels)
    assert "count" in model.history_
    assert "count" not in model.set_params(count=0.0).fit(X, y).history_


def test_a_training_that_counts_goes_on_with_the_same_counts(short_and_long, tmp_path):
    X, y = short_and_long
    settings = {"count": 1.0, "max_epochs": 2, "random_state": 0}
    ThreeCNetLocalizer(**settings).fit(X, y, checkpoint=tmp_path / "half.safetensors")
    twice = [[*video, *video] for video in y]
    with pytest.raises(ValueError, match="other counts of labels"):
        ThreeCNetLocalizer(**settings).fit(X, twice, checkpoint=tmp_path / "half.safetensors")


def test_training_lowers_the_count_loss():
    X, y = make_untrimmed(n_videos=40, n_classes=2, n_features=(6, 6), context=0.0, random_state=0)
    settings = {"max_epochs": 40, "batch_size": 10, "learning_rate": 5e-3, "random_state": 0}
    history = ThreeCNetLocalizer(count=1.0, **settings).fit(X, y).history_["count"]
    assert history[-5:].mean() < 0.7 * history[:5].mean()


def test_centers_are_trained_at_a_rate_of_their_own():
    X, y = make_untrimmed(n_videos=12, n_classes=2, n_features=(4, 4), random_state=0)
    settings = {"max_epochs": 1, "batch_size": 12, "random_state": 0, "dropout": 0.0}
    before = ThreeCNetLocalizer(**settings)._fresh_network(8, 2, seed=0)
    moved = {}
    for center in (1e-3, 1e-2):
        model = ThreeCNetLocalizer(center=center, **settings).partial_fit(X, y)
        moved[center] = model.weights_["centers.0"]
    assert np.abs(moved[1e-3] - before.centers[0].detach().numpy()).max() > 0.02
    np.testing.assert_allclose(moved[1e-3], moved[1e-2], rtol=1e-4, atol=1e-6)


def test_actions_without_context_are_found():
    X, y = make_untrimmed(
        n_videos=60, n_classes=2, n_features=(6, 6), context=0.0, noise=0.2, random_state=0
    )
    model = ThreeCNetLocalizer(max_epochs=60, batch_size=10, learning_rate=5e-3, random_state=0)
    model.fit(X[:40], y[:40])
    for name in ("classification", "center"):
        assert model.history_[name][-5:].mean() < 0.9 * model.history_[name][4:9].mean(), name
    assert model.set_params(tiou_thresholds=0.3).score(X[40:], y[40:]) > 0.3
