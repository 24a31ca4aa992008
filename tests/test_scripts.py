"""The scripts as a user runs them, on a CPU, with a small demo set."""

import csv
import json
import shlex
import shutil
import signal
import time

import cv2
import numpy as np
import pytest
import torch
from conftest import TINY, fail, finish, run, start
from scipy.io import wavfile

from models.weights import sha256
from utils.evaluation.baselines import BASELINES
from utils.evaluation.thresholds import RULES


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_story_from_nothing_to_results(workplace):
    """python main.py where there is no data set but the demo; the line it ends with; python test.py alone."""
    output = run(f"main.py {TINY} --workers 1", workplace)
    folder = workplace / "runs" / "sacl_demo"
    log = read_log(folder)
    assert [line["epoch"] for line in log] == [0, 1, 2]
    assert all("loss" in line for line in log[1:]) and "test" in log[0] and "test" not in log[1]
    assert [set(line) & {"test", "shuffled"} for line in log] == [{"test", "shuffled"}, set(), {"test", "shuffled"}]
    assert not (folder / "best.pth").exists()  # its parts are in files of their own
    assert log[2]["test"]["n"] == 6 and set(log[2]["test"]["baselines"]) == set(BASELINES)
    assert json.loads((folder / "args.json").read_text())["arguments"]["train_from_scratch"] == 1
    for name in ("last.pth", "frame_best.pth", "sound_best.pth", "curves.png", "summary.json"):
        assert (folder / name).stat().st_size > 100
    best = json.loads((folder / "best.json").read_text())
    assert best["selected_on"] == "the test set demo (the papers' protocol)" and best["epoch"] == 2
    assert len(list((folder / "pictures").glob("*.png"))) == 4 and "pictures/overview.png" in output
    assert not list(folder.glob("*.partial"))

    line = output.strip().splitlines()[-1].removeprefix("Next: python ")
    run(shlex.split(line), workplace)
    results = json.loads((folder / "test" / "results.json").read_text())
    assert results["ciou"] == best["test"]["ciou"] and results["auc"] == pytest.approx(best["test"]["auc"])
    made_by = results["fingerprint"]
    assert made_by["checkpoint"]["selected_on"] == best["selected_on"] and made_by["code"]
    assert made_by["checkpoint"]["frame"]["sha256"] == sha256(folder / "frame_best.pth")
    id_list = made_by["lists"][0]
    assert id_list["name"] == "vggss_test_4692.csv" and not id_list["published"]  # the demo's
    assert id_list["sha256"] == sha256(workplace / "Datasets/Demo/VGG-Sound/vggss_test_4692.csv")
    with open(folder / "test" / "per_sample.csv") as file:
        rows = list(csv.reader(file))
    assert (
        rows[0] == ["id", "iou", "class", "box_area", *RULES] == ["id", "iou", "class", "box_area", *results["rules"]]
    )
    assert [row[0] for row in rows[1:]] == [f"demo_{i:04d}" for i in range(6)]
    report = (folder / "test" / "report.html").read_text()
    assert 'id="item5"' in report and report.count('"sound": "') == 6
    (folder / "test").rename(folder / "own")
    alone = run("test.py --shuffle_sounds", workplace)
    assert "sounds: shuffled" in alone
    assert json.loads((folder / "test" / "results.json").read_text())["arguments"]["imgSize"] == 64

    refused = fail(f"test.py compare {folder}/own/results.json {folder}/test/results.json", workplace)
    assert "they differ in sounds ('own' and 'shuffled (seed 12345)')" in refused
    free = run("test.py baselines --testset demo --rules median", workplace)
    assert "demo: 6 items" in free and "centred_disc" in free

    assert "holds a run" in fail(f"main.py {TINY}", workplace)
    assert "has finished its 2 epochs" in fail(f"main.py {TINY} --workers 1 --resume", workplace)
    assert read_log(folder) == log


def test_same_seed_same_log_and_resumed_is_undisturbed(workplace):
    flags = f"{TINY} --gridSize -1 --lr_schedule constant"  # the cosine's end depends on --num_epoch
    run(f"main.py {flags} --ckpt whole", workplace)
    run(f"main.py {flags} --ckpt parts --num_epoch 1 --workers 0 --num_visual 0", workplace)
    run(f"main.py {flags} --ckpt parts --resume", workplace)
    whole, parts = (torch.load(workplace / name / "last.pth") for name in ("whole", "parts"))
    assert all(torch.equal(whole["model"][key], parts["model"][key]) for key in whole["model"])
    whole_log, parts_log = read_log(workplace / "whole"), read_log(workplace / "parts")
    assert [line.get("loss") for line in whole_log] == [line.get("loss") for line in parts_log]
    assert whole_log[0] == parts_log[0] and whole_log[2] == parts_log[2]  # the run of one epoch also scored epoch 1


def test_ctrl_c_leaves_a_run_that_goes_on_as_if_nothing_had_been(workplace):
    flags = f"{TINY} --num_epoch 4 --eval_epoch 4 --batch_size_per_gpu 4"
    process = start(f"main.py {flags} --ckpt stopped", workplace)
    while not (workplace / "stopped" / "last.pth").exists():
        assert process.poll() is None, finish(process, 10)
        time.sleep(0.1)
    time.sleep(3)  # somewhere in the first epochs
    process.send_signal(signal.SIGINT)
    output, errors = finish(process, 120)
    assert process.returncode == 0, errors
    line = output.strip().splitlines()[-1]
    assert "--resume" in line, output
    run(shlex.split(line.partition("python ")[2]), workplace)
    run(f"main.py {flags} --ckpt whole", workplace)
    stopped, whole = (torch.load(workplace / name / "last.pth") for name in ("stopped", "whole"))
    assert stopped["position"] == whole["position"]
    assert all(torch.equal(whole["model"][key], stopped["model"][key]) for key in whole["model"])
    assert read_log(workplace / "stopped") == read_log(workplace / "whole")


@pytest.fixture(scope="module")
def pair(tmp_path_factory, datasets):
    """Weights of a model that was hardly trained, through the rarer flags, on data in the published folders."""
    folder = tmp_path_factory.mktemp("pair")
    rare = "--gridSize 4 --masked_max exclude --optimizer sgd --precision float32 --workers 0 --local_negatives"
    rare += " --cache device --augment device"
    data = f"--data_path {datasets / 'Demo'} --train_from_scratch 1 --valset vggss"
    run(f"main.py {TINY} --num_epoch 1 {data} {rare} --ckpt run", folder)
    best = json.loads((folder / "run" / "best.json").read_text())
    assert best["selected_on"] == "the validation set vggss" and {"val", "test"} <= set(best)
    yield f"--weights_frame {folder}/run/frame_best.pth --weights_sound {folder}/run/sound_best.pth"
    for path in folder.rglob("*.pth"):
        path.unlink()


def test_both_benchmark_formats_give_the_same_scores(workplace, pair):
    """The demo's test scenes exist as Flickr-SoundNet (jpg, wav, XML) and as VGG-SS (HDF5, JSON)."""
    ious = {}
    for name in ("flickr", "vggss"):
        run(f"test.py --testset {name} --data_path Datasets/Demo {pair} --ckpt {name}", workplace)
        with open(workplace / name / "per_sample.csv") as file:
            ious[name] = [float(row["iou"]) for row in csv.DictReader(file)]
    assert np.abs(np.subtract(ious["flickr"], ious["vggss"])).max() < 0.1  # jpg and 16 bit, whole-pixel boxes
    picture = cv2.imread(str(workplace / "vggss" / "pictures" / "demo_0000.png"))
    assert picture.shape == (224, 448, 3)


def test_ones_own_clip(workplace, pair):
    """An image with its sound, from the command line; a clip that cannot be read is named, and the others are done."""
    cv2.imwrite(str(workplace / "photo.jpg"), np.eye(64, dtype=np.uint8) * 255)
    wavfile.write(workplace / "sound.wav", 16000, np.sin(0.1 * np.arange(16000)).astype(np.float32))
    message = fail(f"test.py {pair} --ckpt out --clip none.mp4 photo.jpg sound.wav", workplace)
    assert message == "error: 1 of 2 clips could not be localised: their lines above say why"
    described = json.loads((workplace / "out" / "clips" / "photo.json").read_text())
    assert len(described["steps"]) == 5 and described["imgSize"] == 64
    assert (workplace / "out" / "clips" / "photo.mp4").stat().st_size > 1000


def test_a_missing_item_stops_the_test_or_is_reported(workplace, datasets, pair):
    shutil.copytree(datasets / "Demo", workplace / "own")
    (workplace / "own" / "SoundNet_Flickr" / "5k_labeled" / "Data" / "audio" / "demo_0003.wav").unlink()
    flags = f"test.py --testset flickr --data_path own {pair} --ckpt out"
    assert "demo_0003.wav is missing" in fail(flags, workplace)
    assert not (workplace / "out" / "results.json").exists()
    assert "left out: demo_0003" in run(f"{flags} --skip_missing", workplace)
    results = json.loads((workplace / "out" / "results.json").read_text())
    assert results["n"] == 5 and [item["id"] for item in results["missing"]] == ["demo_0003"]


def test_errors_are_one_sentence(workplace):
    assert "resnet18-5c106cde.pth is missing" in fail(
        "main.py --data_path Datasets/Demo --batch_size_per_gpu 8 --ckpt a", workplace
    )
    large = "main.py --trainset vggsound --num_train 144000 --train_from_scratch 1"
    assert "144k_unlabeled is missing" in fail(f"{large} --ckpt b", workplace)
    assert "nothing to --resume" in fail("main.py --resume --ckpt c", workplace)
    assert "do not fill one batch" in fail(f"main.py {TINY} --batch_size_per_gpu 25 --ckpt d", workplace)
    assert "frame_best.pth is missing" in fail("test.py --testset demo", workplace)
    assert "not a multiple of 16" in fail("main.py --imgSize 100", workplace)
    if not torch.cuda.is_available():
        assert "sees no CUDA device" in fail("main.py --device cuda --ckpt e", workplace)
