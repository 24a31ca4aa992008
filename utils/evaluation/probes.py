"""What a model makes of sounds that are not its images': silence, noise, other clips, and every clip of the set.

Sounds are encoded once, images are encoded by the evaluation, which shows each batch's features to the probes.
"""

from utils.evaluation.negative_audio import NegativeAudio
from utils.evaluation.retrieval import Retrieval
from utils.evaluation.sounds import encode_sounds


def build_probes(args, model, test_set, device):
    """The probes that args ask for, a list."""
    if not (args.negative_audio or args.retrieval):
        return []
    sounds = encode_sounds(model, test_set, device, args.batch_size_per_gpu, args.workers)
    probes = [NegativeAudio(model, test_set, sounds, device, args.seed)] if args.negative_audio else []
    if args.retrieval:
        probes.append(Retrieval(model, test_set.benchmark, sounds, args.retrieval, args.seed))
    return probes
