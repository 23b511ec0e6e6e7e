"""`lumosx glyphs`: clips of the glyph world as sample folders."""

from __future__ import annotations

from lumosx_core.commands.option_types import whole


def add_glyphs(commands) -> None:
    """Add `lumosx glyphs` to the command line."""
    parser = commands.add_parser(
        "glyphs",
        help="write clips of the glyph world as sample folders, to try training without data of your own",
        description="Write clips of the glyph world as sample folders: the world that lumosx-tiny was trained on.",
    )
    parser.add_argument("directory", metavar="DIR", help="a new folder")
    parser.add_argument("--count", type=whole(1, 1_000_000), default=10, help="number of clips (default 10)")
    parser.add_argument("--seed", type=whole(), default=0)
    parser.add_argument("--people", type=whole(), choices=(1, 2, 3, 4), help="people in each clip (default: 1 to 3)")
    parser.add_argument("--new", action="store_true", help="colours and patterns that lumosx-tiny never saw")
    parser.add_argument("--sashes", action="store_true", help="everyone wears a white sash: something to teach a LoRA")
    parser.add_argument(
        "--faces",
        action="store_true",
        help="for Ingredients (CogVideoX): one or two people, whose images are faces, with masks of them",
    )
    parser.set_defaults(run=_glyphs)


def _glyphs(options) -> None:
    from ..glyph_world import Casting, GlyphSource
    from ..glyph_world.casting import only
    from ..glyph_world.folders import write_folders

    if options.faces:
        source = _face_source(options)
    else:
        people = only(options.people) if options.people else Casting.people
        casting = Casting(people=people, new=options.new, sashes=options.sashes)
        source = GlyphSource(options.seed, options.count, casting=casting)
    write_folders(source, options.directory)
    print(f"Wrote {options.count} clips to {options.directory}")


def _face_source(options):
    from lumosx_core.errors import LumosXError

    from ..glyph_world.casting import only
    from ..glyph_world.faces import FaceCasting, FaceSource

    if options.people and options.people > 2:
        raise LumosXError(f"--people is {options.people}, but clips of --faces have 1 or 2. Use one of these.")
    if options.new or options.sashes:
        raise LumosXError(f"{'--new' if options.new else '--sashes'} does not go with --faces. Leave one of them out.")
    people = only(options.people) if options.people else FaceCasting.people
    return FaceSource(options.seed, options.count, casting=FaceCasting(people=people))
