"""What the published program does, done straightforwardly: the yardstick of the benchmarks. Written from a description
of it (clip by clip, sample by sample, in float32), not from its text."""

import h5py
import numpy as np
import torch
from PIL import Image, ImageFilter
from skimage.segmentation import felzenszwalb
from torch.nn.functional import cross_entropy, interpolate, normalize

from dataset.prepare.rows import TEST_KINDS
from dataset.storage.layout import path_of
from models.losses import DROPPED
from models.torchvision_ops import torchvision


class PublishedProcedure:
    """A sample: three files opened, Felzenszwalb on the
    frame, and three augmented views (of which it uses two) with their region maps, by Pillow.
    """

    def __init__(self, folder):
        self.paths = {kind: path_of(folder, kind, "10k") for kind in TEST_KINDS}
        self.to_tensor = torchvision.transforms.Compose(
            [
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )
        self.jitter = torchvision.transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)

    def __getitem__(self, index):
        row = {}
        for kind, path in self.paths.items():
            with h5py.File(path) as file:
                row[kind] = file[f"train_{kind}"][index]
        frame = row["frames"].astype(np.uint8)
        labels = felzenszwalb(frame, scale=1000, sigma=0.5, min_size=1000).astype(np.uint8)
        views = [self.view(Image.fromarray(frame), Image.fromarray(labels)) for _ in range(3)]
        return views[:2], torch.from_numpy(row["spects"])

    def view(self, image, labels):
        image, labels = (one.resize((246, 246), Image.BICUBIC) for one in (image, labels))
        left, top = np.random.randint(0, 23, 2)
        image, labels = (one.crop((left, top, left + 224, top + 224)) for one in (image, labels))
        if np.random.random() < 0.5:
            image, labels = (one.transpose(Image.FLIP_LEFT_RIGHT) for one in (image, labels))
        if np.random.random() < 0.8:
            image = self.jitter(image)
        if np.random.random() < 0.2:
            image = image.convert("L").convert("RGB")
        if np.random.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(np.random.uniform(0.1, 2.0)))
        return self.to_tensor(image), torch.from_numpy(np.array(labels))


def published_step(model, optimizer, samples, temperature=0.005, retain=0.5, negative=0.75):
    """A training step on samples of PublishedProcedure: VGGish clip by clip, masks sample by sample; its loss."""
    device = next(model.parameters()).device
    views = [torch.stack([sample[0][n][0] for sample in samples]).to(device) for n in range(2)]
    regions = [torch.stack([sample[0][n][1] for sample in samples])[:, None].to(device) for n in range(2)]
    vision = [model.frame_net(view) for view in views]
    heard = [tuple(model.sound_net(spect[None, :, None].to(device))) for _, spect in samples]
    sound, audio = (torch.cat(parts) for parts in zip(*heard, strict=True))
    loss = looped_loss(vision, audio, sound, regions, temperature, retain, negative)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def looped_loss(vision, audio, sound, regions, temperature, retain, negative):
    """SACL's loss, its masks and false negatives found one sample, one region at a time; arguments as of SACLLoss."""
    vision, audio = [normalize(view) for view in vision], normalize(audio)
    labels = [interpolate(view.float(), vision[0].shape[2:])[:, 0] for view in regions]
    masks = []
    for i in range(len(audio)):
        retained = []
        for view in vision:
            own = torch.einsum("chw,c->hw", view[i], audio[i]).detach()
            retained.append(own > own.flatten().sort().values[int(own.numel() * retain)])
        masks.append(looped_masks(retained, [view[i] for view in labels]))
    kept = torch.zeros(len(audio), len(audio), dtype=torch.bool, device=audio.device)
    for i, one in enumerate(normalize(sound).detach()):
        likeness = torch.stack([one @ other for other in normalize(sound).detach()])
        kept[i, likeness.argsort()[: int(len(audio) * negative)]] = True
        kept[i, i] = True
    total = 0.0
    for n, view in enumerate(vision):
        compact = view * torch.stack([pair[n] for pair in masks])[:, None]
        pairs = torch.einsum("ichw,jc->ijhw", compact, audio).flatten(2).max(dim=2).values
        logits = torch.where(kept, pairs, torch.full_like(pairs, DROPPED)) / temperature
        total = total + cross_entropy(logits, torch.arange(len(audio), device=audio.device))
    return total


def looped_masks(retained, labels):
    """The two masks of one sample: retained, two (h, w) bool, and labels, two (h, w)."""
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
