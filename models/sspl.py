"""SSPL: localisation by self-supervised predictive learning, without negatives (Song et al., CVPR 2022)."""

from pathlib import Path

import torch
from torch import Tensor, einsum, nn
from torch.nn.functional import cosine_similarity, normalize

from models.diagnostics import Diagnostic, audio_spread
from models.pcm import PCM
from models.resnet import FrameNet
from models.simsiam import SimSiamHead
from models.vgg import VGG16
from models.vggish import SoundNet
from models.weights import RESNET_URL, SSPL_URL, VGG16_URL, VGGISH_URL, load_weights

BACKBONES = {"vgg16": VGG16, "resnet18": FrameNet}
STORED = {"none": (), "sound": ("sounds",), "all": ("sounds", "frames")}  # by --cache_features


class SSPL(nn.Module):
    """Two views of a frame, each pooled where it resembles the sound, predict one another.

    frame_net: (B, 3, H, W) -> (B, 512, H / 16, W / 16); sound_net: (B, S, 1, 96, 64) -> (B, 128) and (B, 512);
    ssl_head: (B, 512) -> prediction and projection; pcm (or None): (B, 512, h, w), (B, 128) -> (B, 512, h, w).
    fine_tune: also trains frame_net and the VGGish in sound_net. They are frozen otherwise: without gradient, and in
    evaluation mode always. stored: "sounds", "frames": forward gets these as stored features (see encoders), not as
    what the networks read.
    """

    def __init__(self, frame_net, sound_net, ssl_head, pcm=None, fine_tune=False, stored=()):
        super().__init__()
        self.frame_net, self.sound_net, self.ssl_head, self.pcm = frame_net, sound_net, ssl_head, pcm
        self.fine_tune, self.stored = fine_tune, stored
        for network in self._pretrained():
            network.requires_grad_(fine_tune)
        self.train()

    def _pretrained(self):
        return [self.frame_net, self.sound_net.features, self.sound_net.embeddings]

    def train(self, mode=True):
        super().train(mode)
        for network in self._pretrained():
            network.train(mode and self.fine_tune)
        return self

    def forward(self, views: list[Tensor], audio: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Predictions and projections, a list of two (B, 2048) each, for the loss; and the audio embeddings, (B, 512).

        views: list of two (B, 3, H, W), ImageNet-normalised; audio: (B, S, 1, 96, 64) log-mel patches; or their stored
        features, (B, 512, h, w) and (B, S, 128). Batch statistics are taken per view, as published.
        """
        sound, audio = self._project(audio if "sounds" in self.stored else self._embed(audio))
        vision = [self._align(view if "frames" in self.stored else self._features(view), sound) for view in views]
        with torch.autocast(audio.device.type, enabled=False):  # what sums over all places, and the head, in float32
            pairs = [self.ssl_head(attend(view.float(), audio.float())) for view in vision]
        return [prediction for prediction, _ in pairs], [projection for _, projection in pairs], audio.float()

    def localize(self, image: Tensor, audio: Tensor) -> Tensor:
        """Cosine of the sound and each place of the image: (B, 3, H, W), (B, S, 1, 96, 64) -> (B, H / 16, W / 16)."""
        return self.similarity(self.encode_image(image), self.encode_sound(audio))

    def encode_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 512, H / 16, W / 16): unit vectors of the places; with a PCM, what it starts from."""
        features = self._features(image).float()
        return features if self.pcm else normalize(features)

    def encode_sound(self, audio: Tensor) -> Tensor:
        """(B, S, 1, 96, 64) -> unit vectors (B, 512); with a PCM (B, 640): then the VGGish embedding that it reads."""
        sound, audio = self._project(self._embed(audio))
        unit = normalize(audio.float())
        return torch.cat([unit, sound.float()], dim=1) if self.pcm else unit

    def similarity(self, vision: Tensor, audio: Tensor) -> Tensor:
        """Cosine of each encoded sound and the places of its encoded image: (B, h, w)."""
        audio, sound = audio[:, :512], audio[:, 512:]
        return cosine_map(self._align(vision, sound).float(), audio)

    def _features(self, image):
        with torch.set_grad_enabled(self.fine_tune and torch.is_grad_enabled()):
            return self.frame_net(image)

    def _embed(self, audio):
        with torch.set_grad_enabled(self.fine_tune and torch.is_grad_enabled()):
            return self.sound_net.embed(audio)

    def _project(self, embedding):
        """VGGish embeddings (B, S, 128) -> their mean, (B, 128), and that of their projections, (B, 512)."""
        return embedding.mean(dim=1), self.sound_net.fc(embedding).mean(dim=1)

    def _align(self, vision, sound):
        return self.pcm(vision, sound) if self.pcm else vision

    def encoders(self):
        """What may be computed once, for --cache_features: by array, a function of a batch and the networks it runs."""
        embedding = [self.sound_net.features, self.sound_net.embeddings]
        return {"frames": (self.frame_net, [self.frame_net]), "sounds": (self.sound_net.embed, embedding)}

    def parts(self) -> dict[str, nn.Module]:
        """The networks by the names of their published files: <name>_best.pth."""
        parts = {"frame": self.frame_net, "sound": self.sound_net, "ssl_head": self.ssl_head}
        return parts | ({"pcm": self.pcm} if self.pcm else {})

    def parameter_groups(self, args) -> list[dict]:
        """lr_head for the head, lr_rest for all else that is trained; no weight decay on the PCM's update rates."""
        rates = [*self.pcm.a0, *self.pcm.b0] if self.pcm else []
        apart = {id(parameter) for parameter in (*self.ssl_head.parameters(), *rates)}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in apart]
        groups = [
            {"params": [*self.ssl_head.parameters()], "lr": args.lr_head},
            {"params": rest, "lr": args.lr_rest},
            {"params": rates, "lr": args.lr_rest, "weight_decay": 0.0},
        ]
        trained = [{**group, "params": [p for p in group["params"] if p.requires_grad]} for group in groups]
        return [group for group in trained if group["params"]]


def cosine_map(vision: Tensor, audio: Tensor) -> Tensor:
    """Cosine of the sound and each place of its image: (B, C, H, W), (B, C) -> (B, H, W), in [-1, 1]."""
    return einsum("bchw,bc->bhw", normalize(vision), normalize(audio))


def attend(vision: Tensor, audio: Tensor) -> Tensor:
    """Sum of an image's features, weighted by their similarity to the sound: (B, C, H, W), (B, C) -> (B, C)."""
    similarity = cosine_map(vision, audio)
    least, most = similarity.amin(dim=(1, 2), keepdim=True), similarity.amax(dim=(1, 2), keepdim=True)
    return einsum("bhw,bchw->bc", (similarity - least) / (most - least + 1e-10), vision)


def build_model(args) -> SSPL:
    """Weights are args.weights_frame, args.weights_sound (and args.weights_pcm of sspl_pcm, args.weights_ssl_head where
    given) where they are named; else the frame and sound networks are those of the run args.init_from, or random if
    args.train_from_scratch, or the published ImageNet backbone and VGGish; all else is then random."""
    pcm = PCM(args.cycs_pcm) if args.method == "sspl_pcm" else None
    stored = STORED[args.cache_features]
    model = SSPL(BACKBONES[args.backbone](), SoundNet(), SimSiamHead(), pcm, args.fine_tune == 1, stored)
    trained = {name: getattr(args, f"weights_{name}") for name in model.parts()}
    needed = {name: path for name, path in trained.items() if name != "ssl_head"}
    if any(trained.values()):
        if not all(needed.values()):
            raise ValueError(f"{', '.join(f'--weights_{name}' for name in needed)} belong together: give all of them")
        for name, path in trained.items():
            if path:
                load_weights(model.parts()[name], path, SSPL_URL)
    elif args.init_from:
        run = Path(args.init_from)
        load_weights(model.frame_net, run / "frame_best.pth", "another run of main.py", unused=["fc."])
        load_weights(model.sound_net, run / "sound_best.pth", "another run of main.py")
    elif not args.train_from_scratch:
        load_pretrained(model, args)
    return model


def load_pretrained(model, args):
    other = "or train without it: --train_from_scratch 1, or --init_from a run of main.py"
    if args.backbone == "vgg16":
        source, renamed = f"{VGG16_URL}, {other}", ("features.", "feat_extractor.")
        load_weights(model.frame_net, args.weights_vgg16, source, unused=["classifier."], renamed=renamed)
    else:
        load_weights(model.frame_net, args.weights_resnet_imgnet, f"{RESNET_URL}, {other}", unused=["fc."])
    load_weights(model.sound_net, args.weights_vggish, f"{VGGISH_URL}, {other}", absent=["fc."])


class SSPLLoss(nn.Module):
    """Each view's prediction against the other view's projection, detached (stop-gradient); no negatives."""

    def forward(self, predictions: list[Tensor], projections: list[Tensor]) -> Tensor:
        """predictions p, projections z: lists of two (B, C), a view each. Returns a scalar in [-1, 1]."""
        (p1, p2), (z1, z2) = predictions, projections
        return -(cosine_similarity(p1, z2.detach()).mean() + cosine_similarity(p2, z1.detach()).mean()) / 2


class SSPLObjective(nn.Module):
    """The mean loss of this process's samples: that of all is the mean over processes, as their gradients are."""

    def __init__(self):
        super().__init__()
        self.criterion = SSPLLoss()

    def forward(self, outputs, batch: dict) -> tuple[Tensor, dict[str, Diagnostic]]:
        """outputs of SSPL.forward. Returns the loss, and diagnostics.

        projection_spread: deviation of a projection's parts over the batch, 1 where they are independent.
        """
        predictions, projections, audio = outputs
        unit = normalize(projections[0].detach())
        spread = unit.std(dim=0).mean() * unit.shape[1] ** 0.5
        diagnostics = {
            "projection_spread": Diagnostic(spread, 0.1, False, "collapse: all samples get the same projection"),
            "sound_spread": audio_spread(normalize(audio)),
        }
        return self.criterion(predictions, projections), diagnostics


def build_objective(args) -> SSPLObjective:
    return SSPLObjective()
