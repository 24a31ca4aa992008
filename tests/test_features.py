"""Frozen features that are computed once: the same numbers, stored once, and never those of other weights or rows."""

import pytest
import torch
from test_data import write_shard
from torch import nn

from dataset.media.image import test_image as as_in_testing
from dataset.storage.features import use_stored_features
from dataset.train_loader import TrainLoader
from dataset.train_set import TrainSet
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


def small_sspl(seed=0):
    torch.manual_seed(seed)
    sound_net = SoundNet()
    sound_net.features, sound_net.embeddings = nn.Conv2d(1, 4, 32, stride=32), nn.Linear(24, 128)
    frame_net = nn.Sequential(nn.Conv2d(3, 512, 16, stride=16), nn.BatchNorm2d(512))
    return SSPL(frame_net, sound_net, SimSiamHead(width=16, bottleneck=8))


def load(folder, model, frames, kept="none", workers=0):
    """Each row's batch entry of the first epoch, through a loader."""
    data = TrainSet(folder, size=32, grid=1, photometric=False)
    use_stored_features(data, folder, model.encoders(), frames, CPU, workers)
    data.keep(kept, CPU)
    loader = TrainLoader(data, 2, 7, workers, CPU)
    loader.start(0)
    found = {}
    for batch in loader:
        for i, index in enumerate(batch["index"].tolist()):
            found[index] = [view[i] for view in batch["views"]], batch["spect"][i]
    return [found[index] for index in range(6)]


@pytest.mark.parametrize(("frames", "kept", "workers"), [(False, "none", 1), (True, "none", 1), (True, "ram", 0)])
def test_stored_is_what_the_networks_compute(folder, frames, kept, workers):
    model, plain = small_sspl(), TrainSet(folder, size=32, grid=1, photometric=False)
    for index, (views, spect) in enumerate(load(folder, model, frames, kept, workers)):
        sample = plain[index]
        with torch.no_grad():
            sound = model.sound_net.embed(sample["spect"][None])
            frame = model.frame_net(as_in_testing(plain.frames[index], 32)[None])[0]
        assert spect.shape == (3, 1, 128) and torch.allclose(spect[:, 0], sound[0], atol=1e-6)
        if frames:
            assert torch.equal(views[0], views[1])
            assert views[0].dtype == torch.float32 and torch.allclose(views[0], frame, rtol=6e-4, atol=1e-4)
        else:
            assert views[0].shape == (3, 32, 32)


def test_outputs_do_not_depend_on_where_the_encoders_ran(folder):
    model = small_sspl().eval()
    views, spect = load(folder, model, frames=True)[2]
    image, patches = as_in_testing(TrainSet(folder).frames[2], 32), TrainSet(folder, size=32)[2]["spect"]
    with torch.no_grad():
        stored = model([view[None] for view in views], spect[None])
        direct = model([image[None]] * 2, patches[None])
    for one, two in zip(stored, direct, strict=True):
        assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(one, two, strict=True))


def test_stored_once_for_these_weights_and_rows(folder):
    def files():
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("features_*")}

    load(folder, small_sspl(), frames=True)
    first = files()
    assert sorted(name.split("_")[1] for name in first) == ["frame", "sound"]
    load(folder, small_sspl(), frames=True)
    assert files() == first
    load(folder, small_sspl(seed=1), frames=False)
    assert len(files()) == 3
    with (folder / "h5py_train_spects_144k_1.h5").open("ab") as file:
        file.write(b"\0")
    load(folder, small_sspl(), frames=True)
    assert len(files()) == 4 and first.items() <= files().items()


def test_an_interruption_leaves_nothing_under_the_final_name(folder):
    def stop(batch):
        if len(batch) > 1:
            raise KeyboardInterrupt
        return torch.zeros(1, 3, 128)

    data = TrainSet(folder, size=32, grid=1)
    with pytest.raises(KeyboardInterrupt):
        use_stored_features(data, folder, {"sound": (stop, [nn.Linear(1, 1)])}, False, CPU, 0)
    assert not list(folder.glob("features_*.h5"))
    assert load(folder, small_sspl(), frames=False)[0][1].shape == (3, 1, 128)
