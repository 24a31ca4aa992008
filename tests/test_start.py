"""How runs start: what is refused, in one sentence and before anything is written, and what a failed start leaves."""

import json

import pytest
import torch
from conftest import fail, run
from small import SmallFrameNet, SmallSoundNet

import arguments_test
import arguments_train
import main

PARSERS = {"main.py": arguments_train, "test.py": arguments_test}
TINY_RUN = (
    "tests/small.py --imgSize 32 --num_train 8 --batch_size_per_gpu 4 --num_visual 0 --workers 0"
    " --lr_schedule constant --eval_epoch 1"
)


def test_a_failed_start_does_not_block_the_next_and_the_settings_keep_their_history(workplace):
    """The weights are missing, then there; then the run goes on with other settings of the kind that may change."""
    out = workplace / "out"
    command = f"{TINY_RUN} --num_epoch 1 --weights_frame frame.pth --weights_sound sound.pth --ckpt out"
    assert "frame.pth is missing" in fail(command, workplace)
    assert not (out / "last.pth").exists() and not (out / "log.jsonl").exists()
    out.mkdir(exist_ok=True)
    (out / "args.json").write_text(json.dumps({"arguments": {"seed": 1}}))  # as of a start that failed later
    torch.save(SmallFrameNet().state_dict(), workplace / "frame.pth")
    torch.save(SmallSoundNet().state_dict(), workplace / "sound.pth")
    run(f"{command} --eval_shuffled none", workplace)
    first = json.loads((out / "args.json").read_text())
    assert first["history"] == [{"arguments": {"seed": 1}}]
    assert first["arguments"]["num_epoch"] == 1 and "--eval_shuffled none" in first["command"]
    assert first["code"] and first["processes"] == 1 and first["device"].startswith("cpu")
    nets = SmallFrameNet(), SmallSoundNet()
    assert first["parameters"] == sum(weight.numel() for net in nets for weight in net.parameters())

    run(f"{command} --resume --num_epoch 2 --eval_shuffled last", workplace)
    second = json.loads((out / "args.json").read_text())
    assert second["arguments"]["num_epoch"] == 2 and "--resume" in second["command"]
    before = {key: value for key, value in first.items() if key != "history"}
    assert second["history"] == [*first["history"], before]
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [("test" in line, "shuffled" in line) for line in log] == [(True, False), (True, False), (True, True)]

    for name in ("last.pth", "log.jsonl"):  # either of them makes a run
        kept = workplace / name
        (out / name).rename(kept)
        assert "out holds a run: go on with it (--resume)" in fail(command, workplace)
        kept.rename(out / name)


@pytest.mark.parametrize(("choice", "epochs"), [("each", [0, 1, 2]), ("last", [2]), ("none", [])])
def test_shuffled_sounds_are_evaluated_when_asked_for(choice, epochs, datasets, monkeypatch):
    argv = ["--eval_shuffled", choice, "--data_path", str(datasets), "--trainset", "demo", "--num_epoch", "2"]
    args = arguments_train.parse_args(argv)
    args.valset, args.workers = "none", 0
    loaders = main.build_test_loaders(args)
    assert set(loaders) == ({"test"} if choice == "none" else {"test", "shuffled"})
    monkeypatch.setattr(main, "evaluate", lambda model, loader, device, num_visual: loader)
    results = [main.evaluate_all(None, loaders, None, args, epoch) for epoch in range(3)]
    assert all(result["test"] is loaders["test"] for result in results)
    assert [epoch for epoch, result in enumerate(results) if "shuffled" in result] == epochs


def test_resume_may_change_what_leaves_the_weights_alone():
    free = {
        *(
            "cache",
            "ckpt",
            "collective_minutes",
            "compile",
            "data_path",
            "device",
            "eval_epoch",
            "eval_shuffled",
            "force_resume",
        ),
        *("num_visual", "on_nan", "resume", "save_minutes", "workers"),
    }
    first = {"weights_frame", "weights_sound", "weights_resnet_imgnet", "weights_vggish"}
    more = {"sacl": set(), "sspl": {"weights_vgg16", "weights_ssl_head"}}
    more["sspl_pcm"] = more["sspl"] | {"weights_pcm"}
    for method, weights in more.items():
        args = arguments_train.parse_args(["--method", method, "--trainset", "demo"])
        assert set(args.resume_may_change) == free | first | weights


def test_eval_shuffled_is_each_by_default():
    assert arguments_train.parse_args(["--trainset", "demo"]).eval_shuffled == "each"


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize("flags", ["--meth sspl", "--imgS 64", "--meth=sspl", "--data ."])
def test_flags_cannot_be_abbreviated(parser, flags, capsys):
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(flags.split())
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: unrecognized arguments: {flags}")


@pytest.mark.parametrize("script", PARSERS)
def test_the_scripts_refuse_an_abbreviation_and_a_missing_data_folder(script, tmp_path):
    """As a user sees it: one sentence, and no folder that was not there."""
    assert fail(f"{script} --meth sspl", tmp_path).endswith("error: unrecognized arguments: --meth sspl")
    assert fail(f"{script} --data_path nowhere", tmp_path) == (
        "error: --data_path nowhere is not a folder: name the folder that holds the datasets"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
@pytest.mark.parametrize("more", ["", "demo", "flickr"])
def test_a_data_path_that_is_missing_stops_whatever_set_is_named(parser, more, tmp_path):
    name = "--trainset" if parser is arguments_train else "--testset"
    with pytest.raises(ValueError, match="--data_path .*nowhere is not a folder"):
        parser.parse_args(["--data_path", str(tmp_path / "nowhere"), *([name, more] if more else [])])
    assert list(tmp_path.iterdir()) == []


def test_baselines_need_no_data_but_a_folder_that_is_named_must_be_there(tmp_path):
    assert arguments_test.parse_args(["baselines"]).command == "baselines"
    with pytest.raises(ValueError, match="--data_path .*nowhere is not a folder"):
        arguments_test.parse_args(["baselines", "--data_path", str(tmp_path / "nowhere")])


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)
def test_a_data_path_without_data_names_what_is_looked_for(parser, tmp_path):
    with pytest.raises(ValueError, match="holds none of SoundNet_Flickr, VGG-Sound, Custom, Demo"):
        parser.parse_args(["--data_path", str(tmp_path)])
    (tmp_path / "Demo").mkdir()
    parser.parse_args(["--data_path", str(tmp_path)])


@pytest.mark.parametrize("other", ["--negative_audio", "--retrieval", "--retrieval 5"])
def test_shuffled_sounds_exclude_what_pairs_sounds_itself(other):
    arguments_test.parse_args(other.split())
    with pytest.raises(ValueError, match="--shuffle_sounds excludes --negative_audio and --retrieval"):
        arguments_test.parse_args(["--shuffle_sounds", *other.split()])


@pytest.mark.parametrize("given", [["--swap_sounds"], ["--testset", "demo", "--swap_sounds", "--seed", "1"]])
def test_an_old_flag_names_the_new_one(given):
    with pytest.raises(ValueError, match="--swap_sounds is now called --shuffle_sounds"):
        arguments_test.parse_args(given)


def test_an_old_command_names_the_new_one():
    with pytest.raises(ValueError, match="model-free is now called baselines: python test.py baselines"):
        arguments_test.parse_args(["model-free", "--testset", "demo"])
