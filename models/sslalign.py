"""SSLalign: sound source localization is all about cross-modal alignment (Senocak et al., ICCV 2023).

The authors published the network, LVS's, and its weights: it can be tested, not trained. It reads 3 s of sound, as 299
columns of the log spectrogram with neighbouring windows that share 353 samples.
"""

from argparse import Namespace
from typing import NoReturn

from models.lvs import LVS
from models.weights import load_weights

SSLALIGN_URL = "the authors' release at https://github.com/kaistmm/SSLalignment"


class SSLalign(LVS):
    """LVS's two trunks. Parameter names are those of the published checkpoints."""


def build_model(args: Namespace) -> SSLalign:
    """With the weights of the checkpoint args.weights. What only their training used, such as projections, is not read.

    Raises ValueError where no file is named.
    """
    if not args.weights:
        raise ValueError(f"--method sslalign tests published weights: run test.py with --weights FILE, {SSLALIGN_URL}")
    model = SSLalign()
    load_weights(model, args.weights, SSLALIGN_URL, unused=None)
    return model


def build_objective(args: Namespace) -> NoReturn:
    raise ValueError("--method sslalign cannot be trained, its training objective is not public: test it with test.py")
