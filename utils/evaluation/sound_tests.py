"""Tests of a model with sounds that are not its images': negative audio and cross-modal retrieval.

A sound test has a name; update(indices, vision, similarity), called with each batch of the evaluation, so that images
are encoded once; and compute() -> named numbers, the same in every process.
"""

from utils.evaluation.negative_audio import NegativeAudio
from utils.evaluation.retrieval import Retrieval
from utils.evaluation.sounds import encode_sounds


def build_sound_tests(args, model, test_set, device) -> list:
    """The sound tests that args ask for."""
    if not (args.negative_audio or args.retrieval):
        return []
    sounds = encode_sounds(model, test_set, device, args.batch_size_per_gpu, args.workers)
    tests = [NegativeAudio(model, test_set, sounds, device, args.seed)] if args.negative_audio else []
    if args.retrieval:
        tests.append(Retrieval(model, test_set.benchmark, sounds, args.retrieval, args.seed))
    return tests
