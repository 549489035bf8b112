"""The lesson's small world: what a count alone does to a field."""

import numpy as np
import pytest
import torch

from weakseg.ops.counts import salient_votes, soft_count
from weakseg.papers.wsid_net import toy_world
from weakseg.papers.wsid_net.params import CountParams

TWO = [(16, 10), (16, 21)]


def test_discs_and_the_field_to_their_centres():
    numbers = toy_world.discs(TWO, 6, (32, 32))
    assert set(np.unique(numbers)) == {0, 1, 2} and numbers[16, 10] == 1 and numbers[16, 21] == 2
    field = toy_world.field_to(TWO, numbers)
    votes = np.mgrid[:32, :32] + field
    assert np.allclose(votes[:, numbers == 2], np.array([[16.0], [21.0]])) and not field[:, numbers == 0].any()
    half = toy_world.field_to(TWO, numbers, reach=0.5)
    assert np.allclose(half, field / 2)


@pytest.mark.parametrize("surrogate", ["soft", "straight", "kmeans"])
def test_a_count_of_two_divides_what_was_seen_as_one(surrogate):
    numbers = toy_world.discs(TWO, 6, (32, 32))
    merged = toy_world.field_to([(16, 15.5)] * 2, numbers, reach=0.8)
    how = CountParams(surrogate=surrogate, weak=1.0, share=0.05)
    run = toy_world.descend(merged, numbers > 0, 2, how)
    assert run.hard[0] == 1 and run.hard[-1] == 2
    assert np.array_equal(run.fields[0], merged) and not run.fields[-1][:, numbers == 0].any()


def test_the_soft_count_of_well_separated_discs_is_their_number():
    for n in range(1, 7):
        places = [(8 + 16 * (k // 3), 8 + 16 * (k % 3)) for k in range(n)]
        numbers = toy_world.discs(places, 6, (32, 48))
        field, there = toy_world.field_to(places, numbers), numbers > 0
        votes = salient_votes(torch.from_numpy(field)[None], torch.from_numpy(there)[None], 2048)
        assert float(soft_count(votes, 2.0)) == pytest.approx(n, rel=0.05)
