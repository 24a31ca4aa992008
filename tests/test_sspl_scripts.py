"""SSPL as a user runs it, on a CPU, with a small demo set."""

import csv
import json
import shlex
from pathlib import Path

import pytest
import seeded
import torch
from conftest import run

import arguments_test
import arguments_train
from models import METHODS, build_model
from models.vgg import VGG16
from models.vggish import SoundNet

SMALL = "--imgSize 96 --num_train 16 --batch_size_per_gpu 8 --num_epoch 2 --eval_epoch 2 --workers 1 --num_visual 2"
FLAGS = f"--method sspl_pcm --cycs_pcm 1 {SMALL} --lr_schedule constant --cache_features sound"
PARTS = ("frame", "sound", "ssl_head", "pcm")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, datasets):
    """A folder with a run of SSPL with the predictive coding module, and the line it ended with."""
    folder = tmp_path_factory.mktemp("sspl")
    (folder / "Datasets").symlink_to(datasets)
    output = run(f"main.py {FLAGS}", folder)
    yield folder, output.strip().splitlines()[-1]
    for path in folder.rglob("*.pth"):
        path.unlink()


def test_a_run_leaves_the_published_files_and_its_test_knows_the_method(whole):
    place, line = whole
    folder = place / "runs" / "sspl_pcm_demo"
    best = torch.load(folder / "last.pth")["model"]  # the only epoch that was scored
    for name in PARTS:
        network = {"frame": "frame_net", "sound": "sound_net"}.get(name, name)
        for key, value in torch.load(folder / f"{name}_best.pth").items():
            assert torch.equal(value, best[f"{network}.{key}"])
    run(shlex.split(line.removeprefix("Next: python ")), place)
    results = json.loads((folder / "test" / "results.json").read_text())
    assert results["method"] == "sspl_pcm" and results["arguments"]["cycs_pcm"] == 1
    assert results["arguments"]["imgSize"] == 96
    assert set(results["fingerprint"]["checkpoint"]) == {"frame", "sound", "pcm", "selected_on"}
    assert results["ciou"] == json.loads((folder / "best.json").read_text())["test"]["ciou"]
    with open(folder / "test" / "per_sample.csv") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_resumed_is_undisturbed_and_frozen_encoders_stay(whole):
    place, _ = whole
    run(f"main.py {FLAGS} --ckpt parts --num_epoch 1 --workers 0 --num_visual 0", place)
    first = torch.load(place / "parts" / "last.pth")["model"]
    run(f"main.py {FLAGS} --ckpt parts --resume", place)
    undisturbed, parts = (torch.load(place / name / "last.pth")["model"] for name in ("runs/sspl_pcm_demo", "parts"))
    assert all(torch.equal(undisturbed[key], parts[key]) for key in undisturbed)
    frozen = [key for key in first if key.startswith(("frame_net", "sound_net.features", "sound_net.embeddings"))]
    assert len(frozen) == 26 + 18
    assert all(torch.equal(first[key], parts[key]) for key in frozen)
    assert not torch.equal(first["sound_net.fc.0.weight"], parts["sound_net.fc.0.weight"])


def test_encoders_of_another_run_and_stored_features(whole):
    place, _ = whole
    flags = f"main.py --method sspl --init_from runs/sspl_pcm_demo --cache_features all {SMALL}"
    run(f"{flags} --num_epoch 1 --eval_epoch 1 --ckpt cached", place)
    taken, given = (torch.load(place / run / "frame_best.pth") for run in ("cached", "runs/sspl_pcm_demo"))
    assert all(torch.equal(taken[key], given[key]) for key in given)
    taken, given = (torch.load(place / run / "sound_best.pth") for run in ("cached", "runs/sspl_pcm_demo"))
    assert torch.equal(taken["features.0.weight"], given["features.0.weight"])
    assert not torch.equal(taken["fc.0.weight"], given["fc.0.weight"])  # g is trained


@pytest.mark.parametrize(
    ("parse", "flags", "message"),
    [
        (arguments_train, "--method sspl --tempD 1", "--tempD belongs to --method sacl, not to sspl: name that method"),
        (arguments_train, "--method sspl --cycs_pcm=1", "--cycs_pcm belongs to --method sspl_pcm, not to sspl"),
        (arguments_train, "--lr_head 1", "--lr_head belongs to --method sspl or sspl_pcm, not to sacl"),
        (arguments_train, "--method sspl --fine_tune 1 --cache_features all", "use it or --fine_tune 1, not both"),
        (arguments_test, "--weights_pcm x --testset demo", "--weights_pcm belongs to --method sspl_pcm, not to sacl"),
    ],
)
def test_flags_that_do_not_belong_are_refused(parse, flags, message):
    with pytest.raises(ValueError, match=message):
        parse.parse_args(flags.split())


def test_defaults_are_the_papers():
    """Method B.7: learning rates by training set, epochs, batch."""

    def rates(flags):
        args = arguments_train.parse_args(flags.split())
        return args.lr_head, args.lr_rest

    assert rates("--method sspl --trainset flickr") == (2e-3, 5e-4)
    assert rates("--method sspl --trainset vggsound --num_train 10000") == (1e-2, 5e-3)
    assert rates("--method sspl --trainset flickr --num_train 144000") == (5e-3, 1e-3)
    assert rates("--method sspl_pcm --trainset vggsound10k") == (5e-5, 2e-5)
    assert rates("--method sspl_pcm --trainset vggsound144k") == (1e-5, 1e-5)
    assert rates("--method sspl --trainset vggsound144k --lr_head 1") == (1, 1e-3)
    plain, pcm = (
        arguments_train.parse_args(["--method", name, "--trainset", "flickr"]) for name in ("sspl", "sspl_pcm")
    )
    assert (plain.num_epoch, pcm.num_epoch, pcm.cycs_pcm, plain.batch_size_per_gpu) == (100, 20, 4, 128)
    assert METHODS["sspl"].augmentation == METHODS["sspl_pcm"].augmentation == "crop_and_flip"
    assert plain.backbone == "vgg16" and plain.fine_tune == 0


def test_a_missing_file_says_where_to_get_it(tmp_path):
    args = arguments_train.parse_args(["--method", "sspl", "--trainset", "flickr"])
    args.weights_vgg16 = tmp_path / "vgg16-397923af.pth"
    with pytest.raises(FileNotFoundError, match="vgg16-397923af.pth is missing: get it from https://.*--init_from"):
        build_model(args)
    args.weights_pcm, args.weights_frame, args.weights_sound = None, "a.pth", None
    with pytest.raises(ValueError, match="--weights_frame, --weights_sound belong together"):
        build_model(args)


def test_imagenet_and_authors_files_are_read(tmp_path):
    """VGG16 as torchvision names it, with its classifier; VGGish without a head; then the authors' four files."""
    args = arguments_train.parse_args(["--method", "sspl_pcm", "--trainset", "flickr"])
    torch.manual_seed(1)
    vgg = VGG16().state_dict()
    imagenet = {key.replace("feat_extractor", "features"): value for key, value in vgg.items()}
    args.weights_vgg16, args.weights_vggish = tmp_path / "vgg16.pth", tmp_path / "vggish.pth"
    torch.save({**imagenet, "classifier.0.weight": torch.zeros(2)}, args.weights_vgg16)
    sound = SoundNet().state_dict()
    torch.save({key: value for key, value in sound.items() if not key.startswith("fc.")}, args.weights_vggish)
    model = build_model(args)
    assert torch.equal(model.frame_net.state_dict()["feat_extractor.28.weight"], vgg["feat_extractor.28.weight"])
    assert torch.equal(model.sound_net.embeddings[4].bias, sound["embeddings.4.bias"])

    shapes = json.loads((Path(__file__).parent / "golden" / "sspl_state_dict_shapes.json").read_text())
    files = {"frame": vgg, "sound": sound} | {name: seeded.weights(name, shapes[name]) for name in ("ssl_head", "pcm")}
    for name, state in files.items():
        torch.save(state, tmp_path / f"{name}_best.pth")
        setattr(args, f"weights_{name}", tmp_path / f"{name}_best.pth")
    loaded = {name: part.state_dict() for name, part in build_model(args).parts().items()}
    assert loaded.keys() == files.keys()
    assert all(torch.equal(loaded[name][key], state[key]) for name, state in files.items() for key in state)
    args.cycs_pcm = 2
    with pytest.raises(ValueError, match="pcm_best.pth does not fit PCM"):
        build_model(args)
