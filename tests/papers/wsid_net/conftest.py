"""The smallest run of WSID-Net that goes through every step."""

import pytest

from weakseg.papers.wsid_net.params import WsidNetParams
from weakseg.study.params import validate
from weakseg.study.session import Session
from weakseg.study.stages import Store

CRF = {"bilateral_weight": 10, "bilateral_xy": 50, "bilateral_rgb": 13, "gaussian_xy": 1.5, "iterations": 3}
ONE_EPOCH = {"batch_size": 4, "epochs": 1, "lr": 0.01}
TINY = {
    "profile": "toy",
    "seeds": [0],
    "data": {"menagerie": {"size": 64, "classes": 3, "n_trainaug": 8, "n_train": 4, "n_val": 3, "n_tune": 2,
                           "n_salient": 0, "n_salient_test": 0, "n_ilso": 10, "coco": False}},
    "classifier": {"backbone": "tiny", "weights": None, "output_stride": 8, "cut_after": 0, "epochs": 2,
                   "batch_size": 4, "long_side": None, "crop": None, "lr": 0.05, "head_lr_factor": 1.0},
    "cam": {"scales": [1.0], "batch_size": 8},
    "relation": {"foreground": 0.2, "background": 0.02, "crf": CRF},
    "pseudo": {"crf": CRF},
    "saliency": {"backbone": "tiny", "dilated": False, "crop": 64, "channels": 16, "training": ONE_EPOCH},
    "wsid": {"backbone": "tiny", "weights": None, "output_stride": 8, "width": 8, "radius": 4, "scales": None,
             "crop": 64, "attention": {"reduction": 4}, "enhancement": {"lines": 2, "width": 8},
             "count": {"weak": 0.8, "batch_size": 2}, "training": ONE_EPOCH},
    "walk": {"radius": 4, "beta": 8, "steps": 16},
    "instances": {"background": None, "weak": 0.8, "iterations": 40, "grid": [0.1, 0.3]},
}  # fmt: skip


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Session:
    folder = tmp_path_factory.mktemp("outputs")
    params = validate(WsidNetParams, TINY, "the test's parameters")
    return Session("wsid_net", params, Store(folder / "runs"), folder)
