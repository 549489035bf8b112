"""The order of samples: whole epochs, the same from any step on, golden draws."""

import torch

from weakseg.study import machine
from weakseg.study.samples import draw_of, loading, order_of, to_device


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


def test_pictures_come_as_bytes_and_arrive_in_0_to_1_while_labels_stay():
    picture = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    labels = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    found = to_device({"picture": picture, "labels": [labels]}, torch.device("cpu"))
    assert found["picture"].flatten().tolist() == torch.tensor([0.0, 0.2, 1.0]).tolist()
    assert torch.equal(found["labels"][0], labels)
    small = torch.full((1, 5, 5, 3), 200, dtype=torch.uint8)  # channels last: no picture as a net takes it
    assert torch.equal(to_device(small, torch.device("cpu")), small)


def test_samples_are_loaded_beside_a_gpu_only(monkeypatch):
    for cores, world, processes in (("16", "1", 12), ("8", "2", 3), ("1", "1", 0)):
        monkeypatch.setenv("WEAKSEG_THREADS", cores)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", world)
        assert machine.loaders() == loading(None, torch.device("cuda")) == processes
        assert loading(None, torch.device("cpu")) == 0 and loading(2, torch.device("cpu")) == 2
