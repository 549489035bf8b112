"""A VOC-sized evaluation must not be what one waits for."""

import time

import numpy as np

from weakseg.metrics import instance_ap


def test_5000_pictures_with_10_predictions():
    """A tenth of the set at 200 x 200, processor time scaled by ten: under a minute."""
    rng = np.random.default_rng(0)
    pool = rng.random((40, 200, 200)) < 0.3
    start = time.process_time()

    def pictures():
        for number in range(500):
            chosen = rng.integers(0, 40, 10)
            truth = rng.integers(0, 40, 3)
            yield f"p{number}", (pool[chosen], chosen % 20, rng.random(10)), (pool[truth], truth % 20)

    evidence = instance_ap.collect(pictures(), classes=20)
    assert 0 < instance_ap.mean_ap(evidence, 0.5) < 100
    assert 10 * (time.process_time() - start) < 60
