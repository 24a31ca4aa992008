"""The views of training for a whole batch at once, on the device."""

import torch
from torch.nn.functional import conv2d, interpolate, pad

from dataset.augment.parameters import BRIGHTNESS, CONTRAST, HUE, ORDERS, SATURATION, View
from dataset.media.image import standardise

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV and Pillow
REACH = 6  # pixels to either side that the widest blur looks: OpenCV's for sigma 2


class ViewsOnDevice:
    """Augmented views of each frame of a batch, with their region maps, as ViewsOnCPU makes them of one frame.

    Pixels keep their fractions between the steps, where the CPU rounds after each; so the two ways agree to about a
    grey level, and the regions exactly. Nothing here waits for the device: which samples a step concerns is known from
    `draws`, which are on the CPU.
    """

    def __init__(self, size: int, crop: float = 1.1):
        self.size, self.large = size, int(size * crop)

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor, draws: torch.Tensor, regions: torch.Tensor | None = None):
        """Args:
            frames: (B, h, w, 3) uint8 on the device. draws: (B, views, 10), see View. regions: (B, h', w') uint8 on the
                device.

        Returns:
            The views, a list of (B, 3, size, size) float32, channels last, and their regions, a list of
            (B, 1, size, size), or None.
        """
        pictures = frames.permute(0, 3, 1, 2).float()
        if pictures.shape[2:] != (self.large, self.large):
            pictures = interpolate(pictures, (self.large, self.large), mode="bicubic", antialias=True)
            pictures = pictures.round_().clamp_(0, 255)
        pairs = [self._view(pictures, regions, View(*row.unbind(1))) for row in draws.unbind(1)]
        return [view for view, _ in pairs], None if regions is None else [labels for _, labels in pairs]

    def _view(self, pictures, regions, view):
        rows, columns = self._crop(view, pictures.device)
        image = _take(pictures, rows, columns)
        _colour_jitter(image, view)
        chosen = _where(view.grey, image)
        image[chosen] = _grey(image[chosen]).expand(-1, 3, -1, -1)
        chosen = _where(view.sigma, image)
        if len(chosen):  # a convolution needs a plane
            image[chosen] = _blur(image[chosen], _on(view.sigma[view.sigma != 0], image))
        image = standardise(image).contiguous(memory_format=torch.channels_last)
        if regions is None:
            return image, None
        height, width = regions.shape[1:]
        return image, _take(regions[:, None], _nearest(rows, height, self.large), _nearest(columns, width, self.large))

    def _crop(self, view, device):
        """Rows and columns of the enlarged frame that a view shows, both (B, size)."""
        steps = torch.arange(self.size)
        rows = view.top.long()[:, None] + steps
        columns = view.left.long()[:, None] + torch.where(view.flipped[:, None] > 0, self.size - 1 - steps, steps)
        return rows.to(device, non_blocking=True), columns.to(device, non_blocking=True)


def _take(pictures, rows, columns):
    """The pixels at (B, h) rows and (B, w) columns of (B, c, H, W): (B, c, h, w)."""
    batch, channels = (torch.arange(n, device=pictures.device) for n in pictures.shape[:2])
    return pictures[batch[:, None, None, None], channels[:, None, None], rows[:, None, :, None], columns[:, None, None]]


def _nearest(pixels, length, large):
    """Where a pixel of the enlarged frame lies in a map of `length` pixels."""
    return ((pixels + 0.5) * length / large).long()


def _where(condition, image):
    """The samples for which a (B,) condition on the CPU holds, as indices on the image's device."""
    return _on(condition.nonzero()[:, 0], image)


def _on(values, image):
    return values.to(image.device, non_blocking=True)


def _colour_jitter(image, view):
    """Changes (B, 3, h, w) in place, each sample by its own factors, in its own order."""
    orders = torch.tensor(ORDERS)[view.order.long()]
    factors = {BRIGHTNESS: view.brightness, CONTRAST: view.contrast, SATURATION: view.saturation, HUE: view.hue}
    for position in range(4):
        for step, factor in factors.items():
            concerned = (orders[:, position] == step) & (factor != (0 if step == HUE else 1))
            chosen, amount = _where(concerned, image), _on(factor[concerned], image).view(-1, 1, 1, 1)
            pixels = image[chosen]
            if step == HUE:
                pixels = _turn_hue(pixels, amount)
            else:
                towards = {BRIGHTNESS: lambda _: 0.0, CONTRAST: _mean_grey, SATURATION: _grey}[step](pixels)
                pixels = (amount * pixels + (1 - amount) * towards).clamp_(0, 255)
            image[chosen] = pixels


def _grey(image):
    """(B, 3, h, w) -> (B, 1, h, w)."""
    red, green, blue = image.unbind(1)
    return (GREY[0] * red + GREY[1] * green + GREY[2] * blue)[:, None]


def _mean_grey(image):
    return _grey(image).mean(dim=(2, 3), keepdim=True).round()


def _turn_hue(image, turns):
    """(B, 3, h, w) in 0 ... 255 with the hue of each sample turned by (B, 1, 1, 1) turns; value and saturation stay."""
    value, low = image.amax(1, keepdim=True), image.amin(1, keepdim=True)
    chroma = value - low
    red, green, blue = (image / chroma.clamp(min=1e-6)).split(1, dim=1)
    sixths = torch.where(
        value == image[:, :1],
        green - blue,
        torch.where(value == image[:, 1:2], 2 + blue - red, 4 + red - green),
    )
    offsets = torch.arange(5, 0, -2, device=image.device).view(1, 3, 1, 1)  # red, green, blue
    place = (offsets + sixths + 6 * turns) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp(0, 1)


def _blur(image, sigma):
    """Gaussian blur of each sample (B, 3, h, w) by its own sigma (B,), as far as OpenCV's kernel for uint8 reaches."""
    taps = torch.arange(-REACH, REACH + 1, device=image.device)
    reach = (sigma * 6 + 1).round().long() // 2  # OpenCV: round(6 sigma + 1), made odd
    kernel = torch.exp(-(taps**2) / (2 * sigma[:, None] ** 2)) * (taps.abs() <= reach[:, None])
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, dim=0)[:, None]  # one a sample and channel
    planes = pad(image, [REACH] * 4, mode="reflect").reshape(1, -1, *[side + 2 * REACH for side in image.shape[2:]])
    for shape in ((-1, 1, 2 * REACH + 1, 1), (-1, 1, 1, 2 * REACH + 1)):
        planes = conv2d(planes, kernel.view(shape), groups=planes.shape[1])
    return planes.view_as(image)
