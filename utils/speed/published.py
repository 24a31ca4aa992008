"""The published program's data and training step, written from a description of it: the yardstick of the timings.

Clip by clip, sample by sample, region by region, in float32.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image, ImageFilter
from skimage.segmentation import felzenszwalb
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, normalize

from dataset.prepare.rows import TEST_KINDS
from dataset.storage.layout import path_of
from models.resnet import FrameNet
from models.sacl import MASKED_LOGIT
from models.torchvision_ops import torchvision
from models.vggish import SoundNet


class PublishedData:
    """A sample: three files opened, Felzenszwalb on the frame, and three augmented views by Pillow, of which two are
    used. A view is an image (3, 224, 224) float32 and its region map (1, 224, 224) uint8."""

    def __init__(self, folder: Path):
        self.paths = {kind: path_of(folder, kind, "10k") for kind in TEST_KINDS}
        t = torchvision.transforms
        steps = [t.RandomApply([t.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), t.RandomGrayscale(0.2)]
        steps += [t.RandomApply([lambda image: image.filter(ImageFilter.GaussianBlur(np.random.uniform(0.1, 2)))], 0.5)]
        self.colours = t.Compose([*steps, t.ToTensor(), t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])

    def __getitem__(self, index: int) -> tuple[list, Tensor]:
        row = {}
        for kind, path in self.paths.items():
            with h5py.File(path) as file:
                row[kind] = file[f"train_{kind}"][index]
        frame = row["frames"].astype(np.uint8)
        regions = felzenszwalb(frame, scale=1000, sigma=0.5, min_size=1000).astype(np.uint8)
        views = [self.view(Image.fromarray(frame), Image.fromarray(regions)) for _ in range(3)]
        return views[:2], torch.from_numpy(row["spects"])

    def view(self, *images: Image.Image) -> tuple[Tensor, Tensor]:
        left, top = np.random.randint(0, 23, 2)
        images = [one.resize((246, 246), Image.BICUBIC).crop((left, top, left + 224, top + 224)) for one in images]
        if np.random.random() < 0.5:
            images = [one.transpose(Image.FLIP_LEFT_RIGHT) for one in images]
        return self.colours(images[0]), torch.from_numpy(np.array(images[1]))[None]


class PublishedSACLStep:
    """Steps of SACL on a batch of PublishedData that is held, or made first, without workers."""

    def __init__(self, folder: Path, batch: int, device: torch.device):
        self.data, self.batch, self.device = PublishedData(folder), batch, device
        self.frame_net, self.sound_net = FrameNet().to(device), SoundNet().to(device)
        self.optimizer = torch.optim.AdamW([*self.frame_net.parameters(), *self.sound_net.parameters()], 2e-4)
        self.held = [self.data[i] for i in range(batch)]

    def without_data(self):
        self.step(self.held)

    def with_data(self):
        self.step([self.data[i] for i in range(self.batch)])

    def step(self, samples):
        images, regions = (
            [torch.stack([views[n][part] for views, _ in samples]).to(self.device) for n in range(2)]
            for part in range(2)
        )
        vision = [self.frame_net(image) for image in images]
        sounds = [tuple(self.sound_net(spect[None, :, None].to(self.device))) for _, spect in samples]  # clip by clip
        sound, audio = (torch.cat(parts) for parts in zip(*sounds, strict=True))
        self.optimizer.zero_grad()
        looped_loss(vision, audio, sound, regions).backward()
        self.optimizer.step()


PUBLISHED_STEPS = {"sacl": PublishedSACLStep}  # by method


def looped_loss(vision, audio, sound, regions, temperature=0.005, retain=0.5, negative=0.75) -> Tensor:
    """SACL's loss, its masks and false negatives found sample by sample; arguments as those of SACLLoss."""
    vision, audio, sound = [normalize(view) for view in vision], normalize(audio), normalize(sound).detach()
    labels = [interpolate(view.float(), vision[0].shape[2:])[:, 0] for view in regions]
    masks = []
    for i in range(len(audio)):
        retained = []
        for view in vision:
            own = torch.einsum("chw,c->hw", view[i], audio[i]).detach()
            retained.append(own > own.flatten().sort().values[int(own.numel() * retain)])
        masks.append(looped_masks(retained, [view[i] for view in labels]))
    kept = torch.eye(len(audio), dtype=torch.bool, device=audio.device)
    for i, one in enumerate(sound):
        similarity = torch.stack([one @ other for other in sound])
        kept[i, similarity.argsort()[: int(len(audio) * negative)]] = True
    total = 0.0
    for n, view in enumerate(vision):
        compact = view * torch.stack([pair[n] for pair in masks])[:, None]
        pairs = torch.einsum("ichw,jc->ijhw", compact, audio).flatten(2).max(dim=2).values
        logits = pairs.masked_fill(~kept, MASKED_LOGIT) / temperature
        total = total + cross_entropy(logits, torch.arange(len(audio), device=audio.device))
    return total


def looped_masks(retained: list[Tensor], labels: list[Tensor]) -> list[Tensor]:
    """The masks of one sample's two views, found region by region: two (h, w) bool and two (h, w) -> two (h, w)."""
    if labels[0].max() == 0 or labels[1].max() == 0:
        segments = [torch.ones_like(part) for part in retained]
    else:
        shared = [label for label in torch.unique(labels[0]) if (labels[1] == label).any()]
        if not shared:
            return retained
        overlaps = [int((retained[0] & (labels[0] == label)).sum()) for label in shared]
        best = shared[overlaps.index(max(overlaps))]
        segments = [view == best for view in labels]
    second = retained[1] & segments[1]
    return [retained[0] & segments[0], second if second.any() else segments[1]]
