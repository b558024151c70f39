"""Make the font of the formulas from STIX Two Math: `python docs/make_math_font.py STIXTwoMath-Regular.ttf`.

Writes docs/_static/math.woff2 (pip install fonttools brotli): the letters, operators and arrows that formulas
use, with two changes for Chromium, which reserves the room of the widest root for every root and takes no
script variant of a prime.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

TARGET = Path(__file__).parent / "_static" / "math.woff2"
ROOT = 0x221A
PRIMES = (0x2032, 0x2033, 0x2034)
FEATURES = ["ssty", "math", "dtls", "flac", "ccmp", "kern", "mark", "mkmk"]
LETTERS = (
    "0020-017F 02B0-036F 0370-03FF 2000-206F 2070-209F 20D0-20FF 2100-214F 2190-21FF 2200-22FF 2308-230B "
    "2329-232A 239B-23B4 23DC-23E1 25A0-25FF 27C0-27EF 27F0-27FF 2980-29FF 2A00-2AFF 1D400-1D7FF"
)


def script_variants(font) -> dict[str, str]:
    """The first alternate of each glyph for use in a superscript."""
    table = font["GSUB"].table
    lookups = {
        index
        for record in table.FeatureList.FeatureRecord
        if record.FeatureTag == "ssty"
        for index in record.Feature.LookupListIndex
    }
    found = {}
    for index in lookups:
        for part in table.LookupList.Lookup[index].SubTable:
            part = getattr(part, "ExtSubTable", part)
            found |= {name: others[0] for name, others in getattr(part, "alternates", {}).items()}
            found |= getattr(part, "mapping", {})
    return found


def primes_as_in_a_script(font):
    """Draw a prime as its script variant, always: it stands nowhere else."""
    variants = script_variants(font)
    for table in font["cmap"].tables:
        for code in PRIMES:
            table.cmap[code] = variants.get(table.cmap.get(code), table.cmap.get(code))


def roots_of_one_width(font):
    """Make the tall roots as narrow as the lowest one."""
    name = font.getBestCmap()[ROOT]
    width = font["hmtx"][name][0]
    variants = font["MATH"].table.MathVariants
    made = variants.VertGlyphConstruction[variants.VertGlyphCoverage.glyphs.index(name)]
    taller = {record.VariantGlyph for record in made.MathGlyphVariantRecord}
    taller |= {part.glyph for part in made.GlyphAssembly.PartRecords}
    for other in taller - {name}:
        glyph = font["glyf"][other]
        glyph.coordinates.scale((width / font["hmtx"][other][0], 1))
        glyph.coordinates.toInt()
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][other] = width, glyph.xMin


def main(source: str):
    font = TTFont(source)
    primes_as_in_a_script(font)
    roots_of_one_width(font)
    options = subset.Options(layout_features=FEATURES, name_IDs=["*"], notdef_outline=True, flavor="woff2")
    ranges = [[int(end, 16) for end in part.split("-")] for part in LETTERS.split()]
    letters = subset.Subsetter(options)
    letters.populate(unicodes=[code for first, last in ranges for code in range(first, last + 1)])
    letters.subset(font)
    subset.save_font(font, TARGET, options)


if __name__ == "__main__":
    main(sys.argv[1])
