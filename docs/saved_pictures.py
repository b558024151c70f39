"""A gallery scraper for pictures that an example has written to its `results` folder."""

import shutil
import time
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

_started = time.time()
_shown: dict[Path, float] = {}


def scrape(block, block_vars, gallery_conf):
    """The PNG and GIF files that the block wrote, as figures."""
    paths = block_vars["image_path_iterator"]
    source = Path(block_vars["src_file"]).parent / "results"
    shown = []
    for picture in sorted([*source.glob("*.png"), *source.glob("*.gif")], key=lambda p: p.stat().st_mtime):
        written = picture.stat().st_mtime
        if _shown.get(picture) == written or written < _started:
            continue
        _shown[picture] = written
        target = Path(next(paths)).with_suffix(picture.suffix)
        shutil.copyfile(picture, target)
        shown.append(str(target))
    return figure_rst(shown, gallery_conf["src_dir"]) if shown else ""
