"""SACL: sound source localisation by semantic-aware contrastive learning (Song et al., T-PAMI 2024)."""

from torch import nn
from torch.nn.functional import normalize

from models.gather import gather, rank
from models.losses import SACLLoss
from models.resnet import FrameNet
from models.vggish import SoundNet
from models.weights import RESNET_URL, SACL_URL, VGGISH_URL, load_weights


class SACL(nn.Module):
    """A visual and an audio encoder whose features meet in one space.

    frame_net: (B, 3, H, W) -> (B, C, H / 16, W / 16); sound_net: (B, S, 1, 96, 64) -> (B, 128) and (B, C).
    """

    def __init__(self, frame_net, sound_net):
        super().__init__()
        self.frame_net = frame_net
        self.sound_net = sound_net

    def forward(self, views, spect):
        """Features for the loss, float32 whatever precision the encoders ran in.

        views: list of two (B, 3, H, W), ImageNet-normalised; spect: (B, S, 1, 96, 64) log-mel patches.
        Returns vision, a list of two (B, C, H / 16, W / 16), audio (B, C) and sound (B, 128), none normalised.
        Batch statistics are taken per view, as the authors do.
        """
        vision = [self.frame_net(view).float() for view in views]
        sound, audio = self.sound_net(spect)
        return vision, audio.float(), sound.float()

    def localize(self, image, spect):
        """Cosine of the sound and each place of the image: (B, 3, H, W), (B, S, 1, 96, 64) -> (B, H / 16, W / 16)."""
        return self.similarity(self.encode_image(image), self.encode_sound(spect))

    def encode_image(self, image):
        """Unit vectors of the places of images: (B, 3, H, W) -> (B, C, H / 16, W / 16)."""
        return normalize(self.frame_net(image).float())

    def encode_sound(self, spect):
        """Unit vectors of sounds: (B, S, 1, 96, 64) -> (B, C)."""
        _, audio = self.sound_net(spect)
        return normalize(audio.float())

    def similarity(self, vision, audio):
        """Cosine of each encoded sound and the places of its image: (B, C, h, w), (B, C) -> (B, h, w)."""
        # einsum would copy an image that is expanded to meet many sounds, and take 35 times as long.
        return (audio[:, None] @ vision.flatten(2)).view(-1, *vision.shape[2:])

    def parts(self):
        """The networks by the names of their published files: <name>_best.pth."""
        return {"frame": self.frame_net, "sound": self.sound_net}

    def parameter_groups(self, args):
        """Both networks are trained, each with its learning rate."""
        return [
            {"params": self.frame_net.parameters(), "lr": args.lr_frame},
            {"params": self.sound_net.parameters(), "lr": args.lr_sound},
        ]


class SACLObjective(nn.Module):
    """The loss of this process's images and the sounds of all processes, or only its own (as published).

    With all of them, several processes compute the loss of one with the same global batch.
    """

    def __init__(self, criterion, local_negatives=False):
        super().__init__()
        self.criterion, self.local_negatives = criterion, local_negatives

    @property
    def signs(self):
        """How healthy the last batch was: scalar tensors by name."""
        return self.criterion.signs

    def forward(self, outputs, regions):
        """outputs of SACL.forward; regions: list of two (B, 1, H', W') integer label maps. Returns a scalar."""
        vision, audio, sound = outputs
        if self.local_negatives:
            return self.criterion(vision, audio, sound, regions)
        first = rank() * len(audio)
        return self.criterion(vision, gather(audio), gather(sound), regions, first)


def build_model(args):
    """Weights are the pair args.weights_frame and args.weights_sound where given; else random if
    args.train_from_scratch; else the published ImageNet ResNet-18 and VGGish (args.weights_resnet_imgnet,
    args.weights_vggish), with a random head."""
    model = SACL(FrameNet(), SoundNet())
    if args.weights_frame or args.weights_sound:
        if not (args.weights_frame and args.weights_sound):
            raise ValueError("--weights_frame and --weights_sound belong together: give both")
        load_weights(model.frame_net, args.weights_frame, SACL_URL, unused=["fc."])
        load_weights(model.sound_net, args.weights_sound, SACL_URL)
    elif not args.train_from_scratch:
        other = "or train without it: --train_from_scratch 1"
        load_weights(model.frame_net, args.weights_resnet_imgnet, f"{RESNET_URL}, {other}", unused=["fc."])
        load_weights(model.sound_net, args.weights_vggish, f"{VGGISH_URL}, {other}", absent=["fc."])
    return model


def build_objective(args):
    criterion = SACLLoss(args.tempD, args.ratio_retain_sim, args.ratio_neg, args.masked_max)
    return SACLObjective(criterion, args.local_negatives)
