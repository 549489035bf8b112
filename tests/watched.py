"""Runs every weakly supervised method, then everything that may see masks, and prints what each stage opened, as json.

usage: python watched.py <root with tags only> <root with annotations> <folder for the runs>
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

from weakseg.baselines import prm, sdi, sec
from weakseg.nets import deeplab, mask_rcnn
from weakseg.papers.irn import recipe
from weakseg.papers.irn.params import IrnParams
from weakseg.study.stages import Store

ONCE = {"epochs": 1, "batch_size": 4}
TINY = {"backbone": "tiny", "weights": None}
PARAMS = {
    "profile": "toy",
    "seeds": (0,),
    "classifier": {**TINY, **ONCE, "cut_after": 0, "long_side": None, "crop": None},
    "cam": {"scales": (1.0,)},
    "irnet": {**TINY, **ONCE, "start": "classifier", "train_backbone": True, "radius": 4, "crop": 64},
    "walk": {"steps": 4},
    "labels": {"grid": (0.2, 0.4), "iterations": 5},
    "mask_rcnn": {**TINY, "strides": (4, 8), "anchors": (16, 32), "training": ONCE},
    "deeplab": {**TINY, "crop": 64, "training": ONCE},
    "affinitynet": {**TINY, **ONCE, "crop": 64, "radius": 3, "steps": 4},
    "prm": {**TINY, **ONCE, "side": None},
    "sdi": {},
    "sec": {"net": {**TINY, "crop": 64, "training": ONCE}, "side": None},
}


class WatchedStore(Store):
    """Knows which of its stages runs; what one opens below VOC2012 is noted under its name."""

    running: str | None = None
    opened: dict[str, set[str]] = defaultdict(set)

    def __call__(self, stage, /, **arguments):
        WatchedStore.running = stage.__name__
        self.opened[stage.__name__] |= set()
        try:
            return super().__call__(stage, **arguments)
        finally:
            WatchedStore.running = None

    @classmethod
    def listen(cls, event: str, arguments: tuple) -> None:
        """The audit hook: Python calls it at every open, by whatever library."""
        if event == "open" and cls.running and isinstance(arguments[0], str | Path):
            parts = Path(arguments[0]).parts
            if "VOC2012" in parts:
                cls.opened[cls.running].add("/".join(parts[parts.index("VOC2012") + 1 :]))


def session(store: Store, root: str, background: float | None) -> SimpleNamespace:
    """What the recipe wants of a session, on the pictures of `root`."""
    data = {"layout": "voc", "root": root}
    labels = {**PARAMS["labels"], "background": background}
    return SimpleNamespace(store=store, params=IrnParams(**{**PARAMS, "labels": labels, "data": data}))


def from_tags(s: SimpleNamespace) -> None:
    """IRN, the final models on its labels, AffinityNet, PRM and SEC."""
    labels = recipe.pseudo_labels(s, 0, "trainaug", "full")
    recipe.final_instances(s, 0, labels)
    recipe.final_semantic(s, 0, labels)
    recipe.affinitynet_labels(s, 0)
    model, common = recipe.classifier(s, 0), {"pictures": recipe.pictures(s), "data": s.params.data, "split": "val"}
    prm.instances(s.store, init=model, prm=s.params.prm, seed=0, **common)
    sec.label_maps(s.store, model=model, init=model, classifier=s.params.classifier, sec=s.params.sec, seed=0, **common)


def from_boxes(s: SimpleNamespace) -> None:
    """SDI's labels and the final model on them."""
    pictures, data = recipe.pictures(s), s.params.data
    labels = sdi.pseudo_labels(s.store, pictures=pictures, data=data, sdi=s.params.sdi)
    mask_rcnn.final_instances(
        s.store, pictures=pictures, labels=labels, data=data, mask_rcnn=s.params.mask_rcnn, split="val", seed=0
    )


def with_masks(s: SimpleNamespace) -> None:
    """The choice of the background score, the evaluation, full supervision."""
    recipe.instance_evidence(s, recipe.pseudo_labels(s, 0, "train", "cam"), "train")
    recipe.semantic_evidence(s, recipe.pseudo_labels(s, 0, "train", "cam"), "train")
    common = {"pictures": recipe.pictures(s), "labels": None, "data": s.params.data, "split": "val", "seed": 0}
    mask_rcnn.final_instances(s.store, mask_rcnn=s.params.mask_rcnn, **common)
    deeplab.final_semantic(s.store, deeplab=s.params.deeplab, **common)


def main() -> None:
    tags_only, annotated, runs = sys.argv[1:]
    sys.addaudithook(WatchedStore.listen)
    found = {}
    for name, part, root, background in (
        ("tags", from_tags, tags_only, 0.25),
        ("boxes", from_boxes, annotated, 0.25),
        ("masks", with_masks, annotated, None),
    ):
        WatchedStore.opened.clear()
        part(session(WatchedStore(f"{runs}/{name}"), root, background))
        found[name] = {stage: sorted(files) for stage, files in WatchedStore.opened.items()}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
