"""A gallery scraper for pictures that an example has written to its `results` folder."""

import re
import shutil
import time
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

_started = time.time()
_shown: dict[Path, float] = {}
_WRITTEN = re.compile(r"\{folder\}/([\w.]+\.(?:png|gif))")


def scrape(block, block_vars, gallery_conf):
    """The PNG and GIF files that the block wrote, as figures.

    They are known by their names in the example's source: other examples write to the same folder at the
    same time.
    """
    paths = block_vars["image_path_iterator"]
    source = Path(block_vars["src_file"])
    names = dict.fromkeys(_WRITTEN.findall(source.read_text(encoding="utf-8")))
    written = {
        path: path.stat().st_mtime for name in names if (path := source.parent / "results" / name).exists()
    }
    shown = []
    for picture, when in sorted(written.items(), key=lambda entry: entry[1]):
        if _shown.get(picture) == when or when < _started:
            continue
        _shown[picture] = when
        target = Path(next(paths)).with_suffix(picture.suffix)
        shutil.copyfile(picture, target)
        shown.append(str(target))
    return figure_rst(shown, gallery_conf["src_dir"]) if shown else ""
