"""The segmenter, with the CRF in training (crf-loss) and at test time (crf-postproc); section 5 and appendix C."""

import functools
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from weakseg.data.sets import DataParams, open_set
from weakseg.data.weak import TagView
from weakseg.nets import backbones, deeplab
from weakseg.nets.deeplab import DeeplabParams
from weakseg.nets.final import LabelSet, fit_final, untested, with_file
from weakseg.ops.crf import CrfParams
from weakseg.ops.seed_losses import constrain_loss, crf_targets, guides_of, smoothed
from weakseg.papers.guided_labelling.guides import DEEPLAB_CRF
from weakseg.study.artifacts import load_labels
from weakseg.study.params import Group
from weakseg.study.stages import Artifact, Store


class CrfSets(Group):
    """The two sets of CRF parameters of appendix C.1: v1 of SEC, v2 of DeepLab-LargeFOV. Widths in pixels.

    shrink: in the loss the CRF sees the net's grid, so the widths in space are divided by this (12 on the paper's).
    """

    v1: CrfParams = CrfParams(bilateral_weight=10.0, bilateral_xy=80.0, bilateral_rgb=13.0, gaussian_weight=3.0)
    v2: CrfParams = DEEPLAB_CRF
    shrink: float = Field(12.0, ge=1)

    def pick(self, version: str | None) -> CrfParams | None:
        """The set called "v1" or "v2"; None for None."""
        return None if version is None else getattr(self, version)

    def on_grid(self, version: str | None) -> CrfParams | None:
        """The same for the net's grid."""
        crf = self.pick(version)
        if crf is None:
            return None
        widths = {"bilateral_xy": crf.bilateral_xy / self.shrink, "gaussian_xy": crf.gaussian_xy / self.shrink}
        return crf.model_copy(update=widths)


def constrained_loss(crf: CrfParams, model: nn.Module, batch: dict) -> dict[str, Tensor]:
    """Cross entropy with the guide labels plus KL(CRF || softmax) on the net's grid, the CRF seeing the picture there.

    Gradient flows through the softmax, not through the CRF (SEC's constrain-to-boundary loss).
    """
    scores = model(batch["picture"]).float()
    entropy = deeplab.label_loss(lambda _: scores, batch)["loss"]
    probabilities = smoothed(scores)
    guides = guides_of(batch["picture"], scores.shape[2:])
    constrain = constrain_loss(probabilities, crf_targets(probabilities, guides, crf))
    return {"loss": entropy + constrain, "entropy": entropy, "constrain": constrain}


def train_constrained(
    out: Path,
    *,
    pictures: Artifact,
    labels: Artifact,
    init: Artifact | None = None,
    weights: Artifact | None = None,
    data: DataParams,
    segmenter: DeeplabParams,
    crf: CrfParams,
    seed: int,
) -> None:
    """Stage: as nets.deeplab.train_deeplab on labels/semantic/<name>.png, with the CRF loss added.

    crf: widths in cells of the net's grid. init, weights: as there.
    """
    torch.manual_seed(seed)
    view = TagView(open_set(pictures, data, "trainaug"))
    model = deeplab.build_deeplab(with_file(segmenter, weights), len(view.classes) + 1)
    label_map = functools.partial(_label_map, labels, view.names)
    samples = LabelSet(view.names, view.image, label_map, segmenter.crop, segmenter.scales, segmenter.flip)
    how, loss = segmenter.training, functools.partial(constrained_loss, crf)
    fit_final(out, model, model.backbone, samples, loss, how, init=init, seed=seed, title="segmenter, crf-loss")


def _label_map(labels: Artifact, names: tuple[str, ...], index: int):
    return load_labels(labels / "semantic", names[index])


def segment(
    store: Store,
    *,
    pictures: Artifact,
    labels: Artifact | None,
    init: Artifact | None = None,
    data: DataParams,
    segmenter: DeeplabParams,
    crf_loss: CrfParams | None = None,
    crf_postproc: CrfParams | None = None,
    split: str,
    seed: int,
) -> Artifact:
    """Trains on guide labels (None: on the true masks) and predicts: an artifact with semantic/ of the split.

    crf_loss: widths in cells of the grid. crf_postproc: in pixels; another one predicts again without training again.
    """
    test = segmenter.test.model_copy(update={"crf": crf_postproc})
    tested = segmenter.model_copy(update={"test": test})
    common = {"pictures": pictures, "labels": labels, "init": init, "data": data, "seed": seed}
    if crf_loss is None:
        return deeplab.final_semantic(store, **common, deeplab=tested, split=split)
    if labels is None:
        raise ValueError("crf-loss: belongs to guide labels; full supervision is trained without it")
    weights = backbones.weights_input(segmenter.weights, segmenter.backbone)
    model = store(train_constrained, **common, weights=weights, segmenter=untested(segmenter), crf=crf_loss)
    return store(deeplab.predict_deeplab, model=model, pictures=pictures, data=data, split=split, deeplab=tested)
