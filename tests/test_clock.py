"""The snippet clock: positions, edges, middles, and what resampling does to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdgam.clock import SnippetClock


def test_positions_become_seconds():
    assert SnippetClock(0.5).to_seconds([0, 1, 2.5]).tolist() == [0, 0.5, 1.25]


def test_an_offset_is_where_the_first_snippet_begins():
    assert SnippetClock(0.5, offset=1.0).to_seconds([0, 4]).tolist() == [1, 3]


@given(st.floats(0.01, 10), st.floats(-5, 5), st.floats(0, 1e4))
def test_seconds_become_positions_again(seconds, offset, position):
    clock = SnippetClock(seconds, offset)
    assert clock.to_snippets(clock.to_seconds(position)) == pytest.approx(position, abs=1e-6)


def test_snippets_lie_between_their_edges_and_have_their_middles():
    clock = SnippetClock(2.0, offset=1.0)
    assert clock.edges(3).tolist() == [1, 3, 5, 7]
    assert clock.middles(3).tolist() == [2, 4, 6]


def test_snippets_share_the_duration_of_a_recording():
    clock = SnippetClock.of_duration(30.0, n_snippets=60)
    assert (clock.seconds, clock.offset) == (0.5, 0.0)


def test_resampled_snippets_stand_for_the_whole_recording():
    # 100 snippets of half a second, of which 20 are used: each stands for five of them.
    assert SnippetClock(0.5, offset=1.0).resampled(100, 20) == SnippetClock(2.5, offset=1.0)


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0.01, 10), st.floats(-5, 5))
def test_a_resampled_recording_ends_when_it_did(n_snippets, n_used, seconds, offset):
    clock = SnippetClock(seconds, offset)
    used = clock.resampled(n_snippets, n_used)
    assert used.edges(n_used)[-1] == pytest.approx(clock.edges(n_snippets)[-1])


def test_the_end_allows_for_a_snippet_that_was_cut_short():
    assert SnippetClock(2.0).end(3) == 8


def test_the_end_allows_for_windows_that_overlap():
    # Windows of 4 seconds every 2: that of snippet 2 is [4, 8), and it stands for [5, 7).
    clock = SnippetClock(2.0, offset=1.0)
    assert clock.end(3) == 10


def test_a_negative_offset_brings_the_end_forward_once():
    assert SnippetClock(2.0, offset=-1.0).end(3) == 7


def test_ends_of_several_recordings():
    np.testing.assert_array_equal(SnippetClock(0.5).end([1, 3]), [1.0, 2.0])
