"""Each loss against a worked example or scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from skdgam import losses
from skdgam.dgam.objective import SMOOTHING, SMOOTHING_RADIUS
from skdgam.intervals import make_intervals, tiou
from skdgam.sampling import mirrored_window


def test_pooling_is_the_weighted_mean_of_each_video():
    values = torch.tensor([[1.0], [2.0], [4.0], [10.0]])
    attention = torch.tensor([1.0, 0.5, 0.0, 0.1])
    membership = torch.tensor([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    foreground = losses.pool(values, attention, membership)
    torch.testing.assert_close(foreground, torch.tensor([[2.0 / 1.5], [10.0]]))
    background = losses.pool(values, 1 - attention, membership)
    torch.testing.assert_close(background, torch.tensor([[5.0 / 1.5], [10.0]]))
    released = losses.pool(values, attention, membership, offset=1.0)
    torch.testing.assert_close(released, torch.tensor([[2.0 / 2.5], [1.0 / 1.1]]))


def test_pooling_without_any_attention_is_finite():
    pooled = losses.pool(torch.ones(2, 3), torch.zeros(2), torch.ones(1, 2))
    assert torch.equal(pooled, torch.zeros(1, 3))


def test_pooled_features_are_those_of_the_released_implementation(released):
    # Taken before the step of stage (a), and stage (b) leaves attention alone.
    x = torch.from_numpy(released["step.x"])
    attention = torch.from_numpy(released["step.attention"]).flatten()
    membership = torch.eye(5).repeat_interleave(40, dim=1)
    foreground = losses.pool(x.flatten(0, 1), attention, membership, offset=1.0)
    background = losses.pool(x.flatten(0, 1), 1 - attention, membership, offset=1e-6)
    np.testing.assert_allclose(foreground, released["step.foreground"], atol=1e-6)
    np.testing.assert_allclose(background, released["step.background"], atol=1e-6)


def test_weights_count_as_repetitions():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 2, generator=generator)
    attention = torch.rand(3, generator=generator)
    twice = losses.pool(values, attention, torch.tensor([[2.0, 1.0, 1.0]]))
    rows = torch.tensor([0, 0, 1, 2])
    repeated = losses.pool(values[rows], attention[rows], torch.ones(1, 4))
    torch.testing.assert_close(twice, repeated)


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_smoothing_is_that_of_scipy(n):
    values = np.random.default_rng(n).random((n, 3), dtype=np.float32)
    neighbours = torch.tensor(mirrored_window(n, SMOOTHING_RADIUS).tolist())
    kernel = losses.gaussian(SMOOTHING, SMOOTHING_RADIUS, torch.device("cpu"))
    ours = losses.smooth(torch.from_numpy(values), neighbours, kernel)
    theirs = gaussian_filter1d(values, sigma=1, axis=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_cross_entropy_of_each_video():
    logits = torch.tensor([[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]]).log()
    target = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    expected = torch.tensor([np.log(3.0), np.log(2.0)], dtype=torch.float32)
    torch.testing.assert_close(losses.classification_loss(logits, target), expected)
    # σ(log 2) = 2/3; of the classes that are there -log p, of the others -log (1 - p).
    target = target.ceil()
    expected = torch.tensor([3 * np.log(2.0), np.log(1.5) + 2 * np.log(2.0)], dtype=torch.float32)
    torch.testing.assert_close(losses.multilabel_loss(logits, target), expected)


@pytest.mark.parametrize(("target", "expected"), [([1.0, 0.0], 0.0), ([0.0, 1.0], 200.0)])
def test_probabilities_of_0_and_1_have_a_finite_loss_and_gradient(target, expected):
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = losses.probability_loss(logits.softmax(dim=1), torch.tensor([target]))
    assert loss.item() == expected
    loss.backward()
    assert logits.grad.tolist() == [[0, 0]]


def test_guidance_takes_the_greatest_labelled_class():
    probability = torch.tensor([[0.1, 0.3, 0.4, 0.2]])
    foreground, background = losses.guidance(probability, torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    torch.testing.assert_close(foreground, torch.tensor([0.3]))
    torch.testing.assert_close(background, torch.tensor([0.8]))


def test_guidance_of_an_unlabelled_video_calls_for_no_attention():
    foreground, _ = losses.guidance(torch.tensor([[0.6, 0.4]]), torch.zeros(1, 2))
    assert foreground == 0


def test_guides_pull_at_attention_from_where_it_is():
    attention = torch.tensor([0.5, 0.2, 0.8], requires_grad=True)
    loss = losses.guide_loss(attention, torch.full((3,), 0.3), torch.full((3,), 0.7))
    torch.testing.assert_close(loss, torch.tensor([0.4, 0.6, 0.6]))
    loss.sum().backward()
    assert attention.grad.tolist() == [0, -2, 2]


def test_no_gradient_flows_through_the_filter():
    values = torch.rand(3, 2, requires_grad=True)
    neighbours = torch.tensor(mirrored_window(3, 1).tolist())
    assert not losses.smooth(values, neighbours, torch.full((3,), 1 / 3)).requires_grad


def test_of_each_class_the_highest_logits_of_a_video_are_averaged():
    video = torch.tensor([[1.0, 8.0], [4.0, 0.0], [2.0, 1.0], [3.0, 6.0]])
    assert losses.top_k_mean([video], share=2).tolist() == [[3.5, 7.0]]


@pytest.mark.parametrize(("n", "expected"), [(7, 6.0), (8, 7.0), (15, 14.0), (16, 14.5)])
def test_one_logit_in_so_many_counts_and_at_least_one(n, expected):
    pooled = losses.top_k_mean([torch.arange(float(n))[:, None]], share=8)
    assert pooled.item() == expected


def test_videos_are_pooled_by_themselves():
    videos = [torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[9.0]])]
    assert losses.top_k_mean(videos, share=2).tolist() == [[3.5], [9.0]]


def test_the_gradient_of_pooling_reaches_what_was_pooled():
    video = torch.tensor([[1.0], [4.0], [2.0], [3.0]], requires_grad=True)
    losses.top_k_mean([video], share=2).sum().backward()
    assert video.grad[:, 0].tolist() == [0, 0.5, 0, 0.5]


def test_background_is_the_last_column_and_the_same_in_each_video():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert losses.with_background(labels, 1.0).tolist() == [[1, 0, 1], [0, 0, 1]]


def test_background_of_each_video():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    found = losses.with_background(labels, 1 - labels.amax(dim=1))
    assert found.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_multiple_instance_loss_by_hand():
    logits = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 0.0]]).log().clamp_min(-1e3)
    labels = torch.tensor([[1.0, 0.0]])
    # Half of two snippets is one: the highest of each column, of which softmax is 1/4, 1/4, 1/2.
    (both,) = losses.multiple_instance_loss([logits], labels, share=2, background=1.0)
    assert both.item() == pytest.approx((np.log(4) + np.log(2)) / 2.0001, rel=1e-6)
    (action,) = losses.multiple_instance_loss([logits], labels, share=2, background=0.0)
    assert action.item() == pytest.approx(np.log(4) / 1.0001, rel=1e-6)


def test_multiple_instance_loss_of_a_video_without_labels():
    labels = torch.zeros(1, 2)
    only_background = losses.multiple_instance_loss([torch.zeros(4, 3)], labels, 8, 1.0)
    assert only_background.item() == pytest.approx(np.log(3) / 1.0001, rel=1e-6)
    assert losses.multiple_instance_loss([torch.zeros(4, 3)], labels, 8, 0.0).item() == 0


def test_suppressed_logits_fall_to_the_lowest_of_their_snippet():
    logits = torch.tensor([[3.0, -1.0, 1.0]] * 3)
    found = losses.suppress(logits, torch.tensor([0.0, 0.5, 1.0]))
    assert found.tolist() == [[-1, -1, -1], [1, -1, 0], [3, -1, 1]]


def test_the_gradient_of_suppression_reaches_the_lowest_logit():
    logits = torch.tensor([[3.0, -1.0, 1.0]], requires_grad=True)
    losses.suppress(logits, torch.tensor([0.25])).sum().backward()
    assert logits.grad.tolist() == [[0.25, 0.25 + 3 * 0.75, 0.25]]


def test_coactivity_of_a_pair_is_a_sum_over_the_classes_that_both_show():
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(n, 5, generator=generator) for n in (4, 3, 6, 2)]
    logits = [torch.randn(n, 3, generator=generator) for n in (4, 3, 6, 2)]
    labels = torch.tensor([[1.0, 1, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [1, 1, 1]])
    of_pairs, n_shared = losses.coactivity_of_pairs(features, logits, labels, 0.5)
    assert torch.stack(n_shared).tolist() == [2, 0]
    one, other = (losses.coactivity(features[k], logits[k]) for k in (0, 1))
    expected = losses.coactivity_loss(one, other, 0.5)[:2].sum()
    torch.testing.assert_close(torch.stack(of_pairs), torch.stack([expected, torch.zeros(())]))


def test_shares_of_labels_with_an_offset_do_not_come_to_1():
    labels = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    found = losses.equal_shares(labels, offset=0.5)
    torch.testing.assert_close(found, torch.tensor([[0.4, 0.4, 0.0], [0.0, 0.0, 0.0]]))


def test_features_of_an_action_are_to_be_long_and_those_of_background_short():
    action = torch.tensor([[3.0, 4.0], [8.0, 0.0], [0.0, 0.0]], requires_grad=True)
    background = torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 0.0]], requires_grad=True)
    loss = losses.uncertainty_loss(action, background, margin=6.0)
    assert loss.tolist() == [(1 + 1) ** 2, (0 + 2) ** 2, 6**2]  # 8 is long enough
    loss.sum().backward()
    # Of a length the gradient is the direction, and of none it is 0.
    torch.testing.assert_close(action.grad, torch.tensor([[-2.4, -3.2], [0, 0], [0, 0]]))
    torch.testing.assert_close(background.grad, torch.tensor([[0, 4.0], [0, 4.0], [0, 0]]))


def test_a_feature_is_to_be_like_one_and_not_like_others():
    query = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    key = torch.tensor([[10.0, 0.0], [0.0, 0.5]])
    others = torch.tensor([[[0.0, 1.0], [-2.0, 0.0]], [[4.0, 0.0], [9.0, 9.0]]])
    is_there = torch.tensor([[True, True], [True, False]])
    loss = losses.contrastive_loss(query, key, others, is_there, temperature=0.5)
    # Cosines of the first video are 0.6, and 0.8 and -0.6; of the second 1 and 0.
    e = np.exp([0.6 / 0.5, 0.8 / 0.5, -0.6 / 0.5])
    expected = [-np.log(e[0] / e.sum()), np.log(1 + np.exp(-2))]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_feature_that_is_0_is_as_like_one_as_another():
    zero = torch.zeros(1, 2, requires_grad=True)
    others = torch.tensor([[[1.0, 0.0]]])
    loss = losses.contrastive_loss(zero, zero, others, torch.ones(1, 1).bool(), 0.07)
    assert loss.item() == pytest.approx(np.log(2))
    loss.backward()
    assert zero.grad.isfinite().all()


def test_overlap_of_intervals_is_tiou():
    start, end = torch.tensor([0.0, 2.0, 4.0, 5.0]), torch.tensor([4.0, 8.0, 6.0, 5.0])
    given = make_intervals(start.numpy(), end.numpy(), "jump")
    np.testing.assert_allclose(losses.overlaps(start, end), tiou(given, given), rtol=1e-6)


def test_rankings_are_compared_among_neighbours():
    # Proposal 0 sees 0 and 1, in the odds 1 : 3 of the target against 1 : 1; proposal 2 itself.
    logits = torch.tensor([[0.0], [0.0], [7.0]], requires_grad=True)
    target = torch.tensor([[1.0], [3.0], [1.0]]).log().requires_grad_(True)
    is_near = torch.tensor([[True, True, False], [False, False, True]])
    found = losses.rank_inconsistency(logits, target, is_near)
    expected = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    np.testing.assert_allclose(found.detach(), [[expected], [0.0]], atol=1e-6)
    found.sum().backward()
    assert target.grad is None  # it learns nothing
    np.testing.assert_allclose(logits.grad, [[0.25], [-0.25], [0.0]], atol=1e-6)


def test_completeness_is_overlap_with_the_best_of_each_place():
    # The second one is the best; the first overlaps it; the third is far, and above 0.8 of it.
    overlap = losses.overlaps(
        torch.tensor([0.0, 1.0, 10.0, 12.0, 20.0]), torch.tensor([4.0, 5.0, 14.0, 14.0, 21.0])
    )
    attention = torch.tensor([0.9, 1.0, 0.85, 0.5, 0.8])
    target = losses.completeness_target(attention, overlap)
    np.testing.assert_allclose(target, [3 / 5, 1.0, 1.0, 0.5, 0.0], atol=1e-6)


def test_an_interval_of_no_length_is_the_last_of_its_place():
    overlap = losses.overlaps(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 9.0]))
    target = losses.completeness_target(torch.tensor([1.0, 0.9]), overlap)
    np.testing.assert_allclose(target, [0.0, 1.0])


@pytest.mark.parametrize("n", [*range(1, 40), 97])
def test_a_center_is_that_of_all_snippets_where_they_are_alike(n):
    features, logits = torch.ones(n, 2), torch.full((n, 1), 0.3)
    found = losses.center_distances(features, logits, torch.zeros(1, 2))
    torch.testing.assert_close(found, torch.tensor([2.0]))
