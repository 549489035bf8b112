"""The saliency net: probabilities of two scores, and one run."""

import numpy as np

from weakseg.data.salient_instances import open_salient
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import Optimisation
from weakseg.nets.saliency import fit_saliency, make_saliency, read_saliency, salient_share
from weakseg.study.stages import Artifact

TINY = DeeplabParams(backbone="tiny", dilated=False, crop=64, channels=8, training=Optimisation(batch_size=4, epochs=1))


def test_the_share_of_two_scores():
    scores = np.array([[[0.0, 0.0, 300.0, -300.0]], [[0.0, np.log(3), 0.0, 0.0]]])
    np.testing.assert_allclose(salient_share(scores), [[0.5, 0.75, 0, 1]], atol=1e-6)


def test_a_run(drawn, tmp_path):
    _, pictures, data = drawn
    opened = open_salient(pictures, data, "voc", "test")
    masks = lambda index: opened.masks(index).any(0).astype(np.uint8)  # noqa: E731
    fit_saliency(tmp_path, opened.names, opened.image, masks, TINY, init=None, weights=None, seed=0)
    shown = {"pictures": pictures, "data": data, "source": "voc", "split": "test"}
    make_saliency(tmp_path, model=Artifact(tmp_path, "k"), saliency=TINY, **shown)
    for name in opened.names:
        saliency = read_saliency(Artifact(tmp_path, "k"), name)
        assert saliency.shape == (16, 16) and 0 <= saliency.min() <= saliency.max() <= 1
