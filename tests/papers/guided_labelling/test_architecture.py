"""Table 6 as read off the built networks."""

from torch import nn

from weakseg.papers.guided_labelling import architecture
from weakseg.papers.guided_labelling.architecture import describe


def test_layers_as_the_table_writes_them():
    assert describe(nn.Conv2d(8, 1024, 3, padding=12, dilation=12)) == "(1024,3,3) dil=12 pad=12"
    assert describe(nn.Conv2d(8, 20, 1)) == "(20,1,1)"
    assert describe(nn.MaxPool2d(3, 2, 1)) == "(-,3,3) st=2 pad=1"


def test_cells_of_the_paper():
    table = architecture.table6()
    assert table.loc["input"].tolist() == ["(3,224,224)", *["(3,321,321)"] * 4]
    assert table.loc["heat map"].tolist() == ["(20,1,1)", "(20,21,21)", *["(20,41,41)"] * 3]
    assert table.loc["fc6"].tolist() == [
        "(4096,7,7) -> (4096,1,1)",
        "(1024,3,3) pad=1 -> (1024,21,21)",
        "(1024,3,3) pad=1 -> (1024,41,41)",
        "(1024,1,1) -> (1024,41,41)",
        "(1024,3,3) dil=12 pad=12 -> (1024,41,41)",
    ]
    assert table.loc["conv5", "GAP-DeepLab"] == "3 x (512,3,3) dil=2 pad=2 -> (512,41,41)"
    assert table.loc["pool4", ["GAP-LowRes", "GAP-HighRes"]].tolist() == ["(-,2,2) st=2 -> (512,21,21)", "-"]
    assert table.loc["roi_pool", "GAP-ROI"] == "RoI-pool 3x3 windows -> (512,41,41)"
    assert table.loc["fc7", "GAP-LowRes"] == "-"
