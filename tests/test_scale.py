"""Every stage that the notebooks of the five papers ask for, run for a few steps with the params of profile `paper`.

Form "small" is one of the ordinary tests: two steps, pictures a quarter as wide, batches of two, few proposals.
Form "full" has the papers' resolution and batches; nothing is cut but steps and pictures. It is run by
`pytest -m scale`, on a machine with enough memory (docs/scale.md). Weights come from files of random networks, where
the params look for theirs.
"""

import contextlib
import functools
import inspect
import io
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import torchvision
import yaml
from torch import nn
from waits import Waits

from weakseg.data.coco import CocoSet
from weakseg.data.files import write_lines
from weakseg.data.layouts import thing_name
from weakseg.data.menagerie import MenagerieParams, draw_set
from weakseg.data.voc import VocSet
from weakseg.nets import hrnet
from weakseg.ops.cam import grid_size
from weakseg.study import machine, places, plan, run, train
from weakseg.study.artifacts import load_instances, load_labels, load_maps
from weakseg.study.rehearsal import Asked, Performance, rehearse
from weakseg.study.standins import functions_of
from weakseg.study.train import save_model

PAPERS = plan.papers("paper")
NOTEBOOKS = ("ablations", "baselines", "figures")
LENGTHS = ("crop", "long_side", "salient_side", "short_side", "short_sides", "side", "test_side")
MOST = {"batch_size": 2, "infer_batch_size": 2, "limit": 8, "detections": 8, "roi_samples": 32, "size": 14}
MOST |= {"proposal_samples": 32, "proposals": 32, "proposals_before_nms": 64, "foreground": 2, "background": 2}
NEEDED = 20  # GB; up to 15 were seen on a card, with HRNet-W48
VOC_TRAINAUG = 10_582
NETS = ("resnet50", "resnet101", "vgg16")
WAITING = {  # detectors as torchvision builds them; a CRF on the processor; as many places as happen to be chosen
    *("nets/mask_rcnn.py: " + name for name in ("detection_losses", "resize")),
    *("nets/box_mask_rcnn.py: " + name for name in ("chosen_of", "forward", "select_training_samples")),
    *("nets/roi_pool.py: forward", "baselines/boxinst.py: colours_in"),
    "ops/seed_losses.py: crf_targets",
    *("ops/multiple_instance.py: " + name for name in ("peak_seeds", "sample", "top_seeds")),
    "papers/community_learning/losses.py: mask_losses",
    "baselines/countseg.py: density_losses",
}


@dataclass(frozen=True)
class Form:
    """What is drawn, how many steps every training takes, and whether it is the small form."""

    drawn: MenagerieParams
    steps: int
    small: bool


SMALL = MenagerieParams(
    size=(94, 125), classes=3, n_trainaug=2, n_train=2, n_val=1, n_tune=1, n_salient=2, n_salient_test=0, n_ilso=4
)
FULL = MenagerieParams(  # as many as the largest batches hold: 40 with tags, 32 boxes and salient ones, 16 with counts
    size=(375, 500), classes=8, n_trainaug=40, n_train=16, n_val=2, n_tune=2, n_salient=32, n_salient_test=0, n_ilso=32
)


def smaller(value: Any, name: str = "") -> Any:
    """Params as they are, but for lengths in pixels and numbers of samples. An odd length (321) stays one."""
    if isinstance(value, dict):
        return {key: smaller(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [smaller(item, name) for item in value[: 1 if name == "short_sides" else None]]
    if value and name in LENGTHS:
        return min(max(value // 128 * 32, 64), 128) + value % 2
    return min(value, MOST[name]) if value and name in MOST else value


def random_weights(folder: Path) -> None:
    """Files of random networks: torchvision's in the cache below `folder`, the HRNet in `folder` itself."""
    torch.manual_seed(0)
    cache = folder / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for name in NETS:
        with torch.device("meta"):
            net = torchvision.models.get_model(name)
        file = Path(torchvision.models.get_model_weights(name).IMAGENET1K_V1.url).name
        torch.save({key: drawn_at_random(key, value) for key, value in net.state_dict().items()}, cache / file)
    save_model(hrnet.build_hrnet("hrnet_w48").branches, folder / "hrnet_w48.safetensors")


def drawn_at_random(name: str, like: torch.Tensor) -> torch.Tensor:
    """A convolution as He et al. 2015 draw it, a norm that keeps what it gets; the last layers, not used, are zeros.

    A ResNet's last stage gives half, for features as large as those of ImageNet's weights: learning rates go by that.
    """
    if like.ndim == 4:
        return torch.randn(like.shape) * math.sqrt(2 / like[0].numel())
    if name.startswith(("fc.", "classifier.")):
        return torch.zeros(()).expand(like.shape)  # one number on the disk
    if name.endswith(("bn3.weight", "downsample.1.weight")):
        share = 0.2 if "bn3" in name else 1.0  # else each block would double the variance, and statistics are frozen
        return torch.full(like.shape, share / 2 if name.startswith("layer4.") else share)
    ones = name.endswith("running_var") or (name.endswith("weight") and like.ndim == 1)
    return (torch.ones if ones else torch.zeros)(like.shape, dtype=like.dtype)


def write_project(root: Path, form: Form) -> None:
    """Below `root`: pictures in every layout, weights, and the project's notebooks beside params of this form."""
    draw_set(root / "data", menagerie=form.drawn)
    (root / "data/VOCdevkit/VOC2012/ImageSets/Segmentation/tune.txt").unlink()  # official VOC has no such list
    write_lines(root / "data/DUTS/DUTS-Single.txt", [thing_name(index) for index in range(form.drawn.n_salient)])
    random_weights(root / "weights")
    (root / "params/paper").mkdir(parents=True)
    for folder in ("notebooks", "params/reported", "params/claims"):
        (root / folder).symlink_to(places.root() / folder)
    for paper in PAPERS:
        given = run.check(plan.Run(paper, "ablations", "paper")) | {"seeds": [0]}  # with every default
        if paper == "boxcaseg":  # no more salient pictures than are drawn
            given["sweep"]["salient"] = [min(count, form.drawn.n_salient) for count in given["sweep"]["salient"]]
        if form.small:
            given = smaller(given)
            if paper == "guided_labelling":
                given["tagger"]["side"] = 193  # VGG-16's fc6 reads 7 x 7 cells of 32 pixels
        places.write_text(root / f"params/paper/{paper}.yaml", yaml.safe_dump(given))


def shortened(steps: int, waits: set[str]) -> Callable[..., pd.DataFrame]:
    """`train.fit` for the first steps of the paper's own training, with a line of the log for each.

    The learning rate is that of the whole one, where epochs count as if every set had VOC's pictures (few are drawn): a
    warm-up squeezed into 20 steps let detectors run away. Where a step would wait for a GPU is added to `waits`.
    """
    plain = train.fit

    def fit(model: nn.Module, dataset: Any, loss_of: Callable, optimiser: Any, **how: Any) -> pd.DataFrame:
        lr_at = how.get("lr_at", train.poly(0.9))
        whole = how.get("steps") or how["epochs"] * (VOC_TRAINAUG // how["batch_size"])
        how |= {"epochs": None, "steps": steps, "log_every": 1, "lr_at": lambda p: lr_at(p * steps / whole)}
        watch = Waits()
        try:
            return plain(model, dataset, watch.watching(loss_of, optimiser), optimiser, **how)
        finally:
            watch.stop()
            waits.update(watch.found)

    return fit


class Study:
    """The stages of all papers at one form: asked for by rehearsed notebooks, computed once."""

    def __init__(self, root: Path, form: Form) -> None:
        self.form, self.performance, self.waits = form, Performance(root / "runs", {}), set()

    @functools.cache  # noqa: B019 (there is one for each form)
    def asked(self, paper: str) -> list[Asked]:
        """Of each kind of stage in the paper's notebooks the one that is asked for first."""
        found: dict[str, Asked] = {}
        with contextlib.redirect_stdout(io.StringIO()):
            for notebook in NOTEBOOKS:
                found |= rehearse(plan.Run(paper, notebook, "paper")).asked
        self.performance.asked |= found
        return list({self.kind(one): one for one in reversed(found.values())}.values())[::-1]

    def kind(self, one: Asked) -> tuple:
        """Its function; at the full form also its words (a form, a rule, a head) and the folder of its pictures."""
        words = {name: word for name, word in one.plan["params"].items() if isinstance(word, str) and name != "split"}
        more = *words.values(), (one.plan["params"].get("data") or {}).get("root")
        return one.plan["stage"], *(() if self.form.small else more)

    @functools.cache  # noqa: B019
    def computed(self, paper: str) -> list[tuple[Asked, Path]]:
        """These stages with their folders."""
        return [(one, self.performance.compute(one)) for one in self.asked(paper)]


@pytest.fixture(
    scope="module",
    params=[Form(SMALL, 2, True), pytest.param(Form(FULL, 20, False), marks=pytest.mark.scale)],
    ids=["small", "full"],
)
def form(request) -> Form:
    here = memory()
    if not request.param.small and here < NEEDED:
        pytest.skip(f"needs {NEEDED} GB of a card or, without one, of the machine (here {here:.0f}); see docs/scale.md")
    return request.param


def memory() -> float:
    """GB of the device that trains."""
    on_card = machine.device().type == "cuda"
    return (torch.cuda.mem_get_info()[1] if on_card else psutil.virtual_memory().total) / 2**30


@pytest.fixture(scope="module")
def study(form, tmp_path_factory) -> Iterator[Study]:
    root = tmp_path_factory.mktemp("scale")
    write_project(root, form)
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in (("ROOT", ""), ("DATA", "data"), ("WEIGHTS", "weights"), ("OUTPUTS", "outputs")):
            patch.setenv(f"WEAKSEG_{name}", str(root / folder))
        patch.setenv("TORCH_HOME", str(root / "weights"))
        study = Study(root, form)
        patch.setattr(train, "fit", shortened(form.steps, study.waits))
        yield study
    shutil.rmtree(root)  # networks of gigabytes


@pytest.fixture(scope="module", params=PAPERS)
def computed(study, request) -> list[tuple[Asked, Path]]:
    return study.computed(request.param)


def test_every_training_takes_its_steps_with_finite_losses(form, computed):
    trained = {one.name: folder for one, folder in computed if one.name.split(".")[1].startswith("train_")}
    assert trained
    for name, folder in trained.items():
        log = pd.read_csv(folder / "log.csv")
        assert log["step"].tolist() == list(range(1, form.steps + 1)), name
        assert np.isfinite(log).all(axis=None), name
        assert (folder / "model.safetensors").is_file(), name


def test_what_is_found_has_the_size_of_the_pictures(form, computed):
    read = {"instances": lambda *file: load_instances(*file)[0], "semantic": load_labels}
    checked = 0
    for one, folder in computed:
        for kind in read:
            for file in (folder / kind).glob("*"):
                assert read[kind](file.parent, file.stem).shape[-2:] == form.drawn.shape, f"{one.name}: {file.name}"
                checked += 1
    assert checked


def test_a_step_waits_for_a_gpu_only_where_it_cannot_do_without(form, study):
    if not form.small:
        pytest.skip("the small form tells; here later steps meet new sizes, whose numbers are carried over once")
    for paper in PAPERS:
        study.computed(paper)
    assert study.waits == WAITING


def test_fields_lie_on_the_grid_of_stride_4(form, study):
    folder = dict((one.name, folder) for one, folder in study.computed("irn"))["stages.make_fields"]
    h, w = grid_size(form.drawn.shape)
    for file in (folder / "fields").glob("*"):
        found = load_maps(file.parent, file.stem)
        assert found["boundary"].shape == (h, w) and found["displacement"].shape == (2, h, w)


def test_every_training_of_the_library_is_asked_for(study):
    packages = ["weakseg.nets", "weakseg.baselines", *(f"weakseg.papers.{paper}" for paper in PAPERS)]
    functions = [function for package in packages for function in functions_of(package)]
    stages = {f for f in functions if f.__name__.startswith("train_") and "out" in inspect.signature(f).parameters}
    assert stages <= {one.function for paper in PAPERS for one in study.asked(paper)}


def test_no_pictures_of_voc_are_set_aside(study):
    """Official VOC has no such list, and profile `paper` trains on all of its pictures; ILSO's own val is tuned on."""
    for paper in PAPERS:
        study.asked(paper)
    arguments = [one.arguments for one in study.performance.asked.values()]
    assert not [a for a in arguments if a.get("split") == "tune" and a.get("source") != "ilso"]


def test_the_pictures_lie_in_the_layouts_of_voc_and_coco(form, study):
    root = Path(os.environ["WEAKSEG_DATA"])
    for view in (VocSet(root, "val"), CocoSet(root / "coco", "val")):
        assert len(view) == form.drawn.n_val
        assert view.image(0).shape == (*form.drawn.shape, 3) and view.instances(0)[0].shape[1:] == form.drawn.shape
