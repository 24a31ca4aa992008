"""Frozen features that are computed once: the same numbers, stored once, and never those of other weights or rows."""

import pytest
import torch
from test_data import open_set, write_shard
from torch import nn

from dataset.augment.parameters import AUGMENTATIONS
from dataset.media.image import test_image as as_in_testing
from dataset.storage.features import Rows, features_path, open_features, store_features
from dataset.train_loader import TrainLoader
from dataset.train_set import TrainSet, open_arrays
from models.simsiam import SimSiamHead
from models.sspl import SSPL
from models.vggish import SoundNet

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    """Six training rows in two shards."""
    for shard, first in (("144k_1", 0), ("144k_2", 3)):
        write_shard(tmp_path, shard, 3, first)
    return tmp_path


def small_sspl(seed=0, stored=()):
    torch.manual_seed(seed)
    sound_net = SoundNet()
    sound_net.features, sound_net.embeddings = nn.Conv2d(1, 4, 32, stride=32), nn.Linear(24, 128)
    frame_net = nn.Sequential(nn.Conv2d(3, 512, 16, stride=16), nn.BatchNorm2d(512))
    return SSPL(frame_net, sound_net, SimSiamHead(width=16, bottleneck=8), stored=stored)


def store(folder, name, encode, networks, workers=0):
    """The path of an array's features by an encoder, stored where they are not there yet."""
    rows = Rows(open_arrays(folder, regions=None), name, 32)
    path = features_path(rows, networks)
    store_features(path, rows, encode, CPU, workers)
    return path


def load(folder, model, kept=False, workers=0):
    """Each row's batch entry of the first epoch, through a loader, with what model.stored names read from its store."""
    arrays = open_arrays(folder, regions=None)
    for name in model.stored:
        path = store(folder, name, *model.encoders()[name], workers)
        arrays = arrays._replace(**{name: open_features(path)})
    augmentation = None if "frames" in model.stored else AUGMENTATIONS["crop_and_flip"]
    data = TrainSet(arrays.keep(CPU) if kept else arrays, augmentation, size=32)
    loader = TrainLoader(data, 2, 7, workers, CPU)
    loader.start(0)
    found = {}
    for batch in loader:
        for i, index in enumerate(batch["index"].tolist()):
            found[index] = [view[i] for view in batch["views"]], batch["audio"][i]
    return [found[index] for index in range(6)]


SOUNDS, ALL = ("sounds",), ("sounds", "frames")


@pytest.mark.parametrize(("stored", "kept", "workers"), [(SOUNDS, False, 1), (ALL, False, 1), (ALL, True, 0)])
def test_stored_is_what_the_networks_compute(folder, stored, kept, workers):
    model, plain = small_sspl(stored=stored), open_set(folder, regions=None, size=32)
    for index, (views, sounds) in enumerate(load(folder, model, kept, workers)):
        sample = plain[index]
        with torch.no_grad():
            sound = model.sound_net.embed(sample["audio"][None])
            frame = model.frame_net(as_in_testing(plain.arrays.frames[index], 32)[None])[0]
        assert sounds.shape == (3, 128) and torch.allclose(sounds, sound[0], atol=1e-6)
        if "frames" in stored:
            assert torch.equal(views[0], views[1])
            assert views[0].dtype == torch.float32 and torch.allclose(views[0], frame, rtol=6e-4, atol=1e-4)
        else:
            assert views[0].shape == (3, 32, 32)


def test_outputs_do_not_depend_on_where_the_encoders_ran(folder):
    model, plain = small_sspl(stored=ALL).eval(), small_sspl().eval()
    views, sounds = load(folder, model)[2]
    rows = open_set(folder, size=32)
    image, patches = as_in_testing(rows.arrays.frames[2], 32), rows[2]["audio"]
    with torch.no_grad():
        stored = model([view[None] for view in views], sounds[None])
        direct = plain([image[None]] * 2, patches[None])
    for one, two in zip(stored, direct, strict=True):
        assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one, two, strict=True))


def test_stored_once_for_these_weights_and_rows(folder):
    def files():
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("features_*")}

    load(folder, small_sspl(stored=ALL))
    first = files()
    assert sorted(name.split("_")[1] for name in first) == ["frame", "sound"]
    load(folder, small_sspl(stored=ALL))
    assert files() == first
    load(folder, small_sspl(seed=1, stored=SOUNDS))
    assert len(files()) == 3
    with (folder / "h5py_train_spects_144k_1.h5").open("ab") as file:
        file.write(b"\0")
    load(folder, small_sspl(stored=ALL))
    assert len(files()) == 4 and first.items() <= files().items()


def test_an_interruption_leaves_nothing_under_the_final_name(folder):
    def stop(batch):
        if len(batch) > 1:
            raise KeyboardInterrupt
        return torch.zeros(1, 3, 128)

    with pytest.raises(KeyboardInterrupt):
        store(folder, "sounds", stop, [nn.Linear(1, 1)])
    assert not list(folder.glob("features_*.h5"))
    assert load(folder, small_sspl(stored=SOUNDS))[0][1].shape == (3, 128)
