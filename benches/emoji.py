"""A data set in colour: the pictures of npm's package emoji-datasource-twitter (Twitter's, CC-BY 4.0), a folder for each category.

usage: emoji.py PACKAGE OUT
PACKAGE: the folder `package` that `npm pack emoji-datasource-twitter@16.0.0` and `tar xzf` leave; OUT: the folder to make."""
import json, shutil, sys
from pathlib import Path


def main(package, out):
    out.mkdir()
    for emoji in json.loads((package / "emoji.json").read_text()):
        category = emoji["category"]
        # Components are colours of skin and hair, which are no pictures of their own.
        if emoji["has_img_twitter"] and category != "Component":
            folder = out / category.split(" & ")[0].lower()
            folder.mkdir(exist_ok=True)
            shutil.copy(package / "img/twitter/64" / emoji["image"], folder)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
