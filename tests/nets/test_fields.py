"""Frames of pictures, the mirrored boundary, the mean shift."""

import numpy as np
import torch
from torch import nn

from weakseg.nets import fields


def test_frames():
    picture = np.full((100, 130, 3), 7, np.uint8)
    assert fields.framed(picture, 64).shape == (112, 144, 3)  # larger than the crop: nothing is lost
    assert fields.framed(picture, 512).shape == (512, 512, 3)
    assert (fields.framed(picture, 64)[:100, :130] == 7).all()


def test_fields_average_the_mirrored_boundary():
    class Fixed:
        def __call__(self, pictures):
            return pictures[:, 0, ::4, ::4], pictures[:, :2, ::4, ::4]

    pictures = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    pictures = torch.cat([pictures, pictures.flip(-1)], -1)  # its own mirror image, up to the sampling of the grid
    boundary, displacement = fields.infer_fields(Fixed(), pictures)
    logits = pictures[:, 0, ::4, ::4]
    mirrored = pictures.flip(-1)[:, 0, ::4, ::4].flip(-1)
    torch.testing.assert_close(boundary, torch.sigmoid((logits + mirrored) / 2))
    torch.testing.assert_close(displacement, pictures[:, :2, ::4, ::4])


def test_the_mean_shift_is_over_full_batches_of_top_left_crops():
    class Channels(nn.Module):
        def forward(self, pictures):
            return pictures[:, 0], pictures[:, :2]

    class Seen(list):
        def image(self, index):
            return self[index]

    def picture(red, green):
        image = np.full((9, 12, 3), 255, np.uint8)
        image[:8, :8] = red, green, 0
        return image

    seen = Seen([picture(0, 51), picture(102, 51), picture(255, 255)])  # the third is the incomplete batch
    shift = fields.measure_shift(Channels(), seen, crop=8, batch_size=2)
    torch.testing.assert_close(shift, torch.tensor([0.2, 0.2]))
    torch.testing.assert_close(fields.measure_shift(Channels(), Seen(seen[2:]), crop=8, batch_size=2), torch.ones(2))
