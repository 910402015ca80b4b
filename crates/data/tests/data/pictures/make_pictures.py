"""Makes the pictures of this folder with Pillow 13, NumPy 2.4, tifffile 2026.3 and imagecodecs
(pip install Pillow numpy tifffile imagecodecs): make_pictures.py OUT

Pixel (y, x) of channel c is 20 y + 10 x + 40 c, 6 rows of 8; of 16 bits it is 257 times that, and y more. A second frame or
page is black. expected.txt has what Pillow itself decodes of each file, over white: name, channels, height, width, values.
"""
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageOps

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
y, x, c = np.meshgrid(np.arange(6), np.arange(8), np.arange(3), indexing="ij")
colour = (20 * y + 10 * x + 40 * c).astype(np.uint8)
grey = colour[..., 0]
deep = (257 * colour.astype(np.uint32) + y).astype(np.uint16)
alpha = np.where((x + y) % 3 == 0, 0, 255)[..., :1].astype(np.uint8)
clear = np.concatenate([colour, alpha], axis=2)
black = np.zeros_like(colour)
rgb, l = Image.fromarray(colour), Image.fromarray(grey)
rgba = Image.fromarray(clear)
# 15 colours, of which the first is clear.
palette = Image.fromarray((grey // 13).astype(np.uint8), "P")
palette.putpalette([v for i in range(16) for v in (16 * i, 255 - 16 * i, 7 * i)])

made = {}


def save(name, image, **options):
    image.save(out / name, **options)
    made[name] = True


save("rgb.bmp", rgb)
save("grey.bmp", l)
save("bits.bmp", l.point(lambda v: 255 * (v > 80)).convert("1"))
save("palette.bmp", palette)
save("rgba.bmp", rgba)
save("palette.gif", palette)
save("clear.gif", palette, transparency=3)
save("interlaced.gif", palette, interlace=1)
save("grey.gif", l)
save("animated.gif", palette, save_all=True, append_images=[Image.new("P", (8, 6))], duration=50)
save("lossless.webp", rgb, lossless=True)
save("lossless-alpha.webp", rgba, lossless=True, exact=True)
save("lossy.webp", rgb, quality=90)
save("lossy-alpha.webp", rgba, quality=90)
save("animated.webp", rgb, lossless=True, save_all=True, append_images=[Image.fromarray(black)], duration=50)
exif = Image.Exif()
exif[0x112] = 6
save("turned.webp", rgb, lossless=True, exif=exif)
save("rgb.tiff", rgb)
save("grey.tif", l)
save("bits.tiff", l.point(lambda v: 255 * (v > 80)).convert("1"))
save("rgba.tiff", rgba)
save("cmyk.tiff", rgb.convert("CMYK"))
save("lzw.tiff", rgb, compression="tiff_lzw")
save("deflate.tiff", rgb, compression="tiff_adobe_deflate")
save("packbits.tiff", rgb, compression="packbits")
save("lossy.tiff", rgb, compression="jpeg")
save("pages.tiff", rgb, save_all=True, append_images=[Image.fromarray(black)])
save("turned.tiff", rgb, exif=exif)
for kind, values in [("grey", deep[..., 0]), ("rgb", deep)]:
    meaning = "minisblack" if kind == "grey" else "rgb"
    for name, options in {
        "16": {}, "16-deflate": dict(compression="zlib", predictor=True), "16-lzw": dict(compression="lzw"),
        "16-tiles": dict(tile=(16, 16)), "16-big-endian": dict(byteorder=">"), "16-big": dict(bigtiff=True),
    }.items():
        tifffile.imwrite(out / f"{kind}-{name}.tiff", values, photometric=meaning, metadata=None, **options)
tifffile.imwrite(out / "rgb-16-planes.tiff", np.moveaxis(deep, 2, 0), photometric="rgb", planarconfig="separate", metadata=None)
tifffile.imwrite(out / "white-is-zero-16.tiff", 65535 - deep[..., 0], photometric="miniswhite", metadata=None)
Image.fromarray(deep[..., 0]).save(out / "grey-16.png")
# Pillow does not write colour of 16 bits; libpng does.
(out / "rgb-16.png").write_bytes(imagecodecs.png_encode(deep))
with open(out / "expected.txt", "w") as expected:
    for name in made:
        image = Image.open(out / name)
        if "turned" in name:
            image = ImageOps.exif_transpose(image)
        rgba_of = image.convert("RGBA")
        flat = Image.new("RGBA", rgba_of.size, "white")
        flat.alpha_composite(rgba_of)
        values = np.asarray(flat.convert("RGB"))
        if (values == values[..., :1]).all():
            values = values[..., :1]
        h, w, n = values.shape
        print(name, n, h, w, *np.moveaxis(values, 2, 0).ravel(), file=expected)

# What is refused.
refused = out / "refused"
refused.mkdir(exist_ok=True)
palette.save(refused / "palette.tiff")
Image.fromarray(np.dstack([grey, alpha[..., 0]]), "LA").save(refused / "transparent-grey.tiff")
Image.fromarray(grey.astype(np.float32)).save(refused / "point.tiff")
Image.fromarray(grey.astype(np.int32)).save(refused / "sign.tiff")
tifffile.imwrite(refused / "ycbcr.tiff", colour, photometric="rgb", compression="jpeg", metadata=None)
l.point(lambda v: 255 * (v > 80)).convert("1").save(refused / "fax.tiff", compression="group4")
rgb.convert("LAB").save(refused / "lab.tiff")
tifffile.imwrite(refused / "zstd.tiff", colour, photometric="rgb", compression="zstd", metadata=None)
tifffile.imwrite(refused / "wide.tiff", grey.astype(np.uint32), photometric="minisblack", metadata=None)
rgb.save(refused / "avif.avif")
rgb.save(refused / "jpeg2000.jp2")
rgb.save(refused / "qoi.qoi")
rgb.save(refused / "ppm.ppm")
