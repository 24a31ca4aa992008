"""SACL: sound source localisation by semantic-aware contrastive learning (Song et al., T-PAMI 2024)."""

from torch import einsum, nn
from torch.nn.functional import normalize


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
        return einsum("bchw,bc->bhw", vision, audio)
