"""build_model: from the arguments to a network with its first weights."""

from models.resnet import FrameNet
from models.sacl import SACL
from models.vggish import SoundNet
from utils.checkpoint import RESNET_URL, SACL_URL, VGGISH_URL, load_weights


def build_model(args):
    """A SACL model on the CPU, in float32.

    Its weights are the pair args.weights_frame and args.weights_sound where given; else random if
    args.train_from_scratch; else the published ImageNet ResNet-18 and VGGish (args.weights_resnet_imgnet,
    args.weights_vggish), with a random head. Raises FileNotFoundError or ValueError that says where to get a file.
    """
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
