"""The order of samples: whole epochs, the same from any step on, golden draws."""

from weakseg.study.samples import draw_of, order_of


def test_an_epoch_sees_every_sample_once_but_for_the_incomplete_batch():
    order = order_of(10, 4, 3, None, seed=7)
    batches = list(order.samples(0))
    assert [len(batch) for batch in batches] == [4] * 6
    epochs = [[index for batch in batches[2 * e : 2 * e + 2] for index, _ in batch] for e in range(3)]
    assert all(len(set(epoch)) == 8 for epoch in epochs) and epochs[0] != epochs[1]
    assert list(order.samples(3)) == batches[3:]
    small = order_of(3, 8, None, 2, seed=7)
    assert [sorted(index for index, _ in batch) for batch in small.samples(0)] == [[0, 1, 2]] * 2


def test_draws_differ_by_seed_epoch_and_index_and_are_golden():
    draws = {draw_of(seed, epoch, index) for seed in range(4) for epoch in range(4) for index in range(50)}
    assert len(draws) == 800
    assert draw_of(0, 0, 0) == 15793235383387715774
