"""From evidence to cells of a table."""

from collections.abc import Mapping

from weakseg.metrics import resample
from weakseg.study.stages import Artifact
from weakseg.study.tables import Measured


def measure(row: str, columns: Mapping[str, str], seed: int, evidence: Artifact, protocol: str) -> list[Measured]:
    """One cell per column of a row and seed; columns: {name in the table: metric of `metrics.resample.value`}.

    Raises ValueError when evidence/evidence.npz is of a kind that has no such metric.
    """
    found = resample.load(evidence / "evidence.npz")
    values = {name: float(resample.value(found, metric)) for name, metric in columns.items()}
    return [Measured(row, name, seed, value, protocol, evidence) for name, value in values.items()]
