"""`lumosx train`: the training loop."""

from __future__ import annotations


def add_train(commands) -> None:
    """Add `lumosx train` to the command line."""
    parser = commands.add_parser("train", help="fine-tune a model, or train a LoRA, from a config file")
    parser.add_argument("config", metavar="CONFIG.toml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.NAME=VALUE",
        help="a value in the place of the config's, such as training.steps=100; may be given several times",
    )
    parser.set_defaults(run=_train)


def _train(options) -> None:
    from ..loop.train import main

    main(options)
