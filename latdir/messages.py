"""Messages of the library in the words of the command.

The library advises what to write in Python; a person at a terminal needs the flag or the command.
"""

from __future__ import annotations

import re

__all__ = ["PHRASES", "in_command"]

PHRASES: tuple[tuple[str, str], ...] = (
    ("generator.with_label(0)", "?label=0 after its path, such as --generator 'net.pkl?label=0'"),
    (
        "or calibrate it first with analysis.calibrate",
        "or take the calibrated bank.safetensors that latdir evaluate --out FOLDER writes",
    ),
    (
        "use analysis.calibrate(generator, classifier, bank) first",
        "take the calibrated bank.safetensors that latdir evaluate --out FOLDER writes",
    ),
    (", or load them with partial=True", ""),
    ("rename with direction.evolve(name=…)", "put each file's name before its names by --prefix"),
    (
        "to override, use bank.transfer(generator)",
        "name its own with --generator, or leave --generator out",
    ),
    ("make one with discovery.sample(…, out=folder)", "make one with latdir sample --out FOLDER"),
    ("rename one's with directions.classifiers.Renamed, or leave one out", "leave one out"),
    ("export direction.evolve(layers=None) and", "keep it as .safetensors, and"),
    (
        "were made: in a notebook take them with `import sys; samples = sys.last_value.samples`; "
        "with out=… a run resumes where it was",
        "were made, and are not kept: the same command starts from the beginning",
    ),
    (
        "no scores were kept: inside `with directions.keep_scores(folder):` a measurement goes on "
        "where it was interrupted",
        "nothing was kept: the same command starts from the beginning (LATDIR_CACHE=FOLDER keeps "
        "scores)",
    ),
    ("see directions.classifiers.available_classifiers()", "see latdir list classifiers"),
    ("attributes=[…]", "--attributes NAME,NAME"),
    ("give another folder, or delete this one", "give another folder with --out, or delete it"),
)
"""What the library says, and what the command says in its place."""

FLAGS = (
    "threshold", "estimator", "attributes", "layers", "space", "through", "solver", "aggregate",
    "way", "precision", "ambiguous", "validation", "method", "n_codes", "n_directions",
    "batch_size", "truncation", "seed", "unit", "neutral", "scale",
)  # fmt: skip
SETTING = re.compile(rf"(?<![\w?&-])({'|'.join(FLAGS)})=(?:'([^']*)'|([\w.+-]*\w))")


def in_command(message: str) -> str:
    """A message of the library, on one line, advising the command.

    Example:
        >>> in_command("net is conditional on 10 classes: choose one with generator.with_label(0)")
        "net is conditional on 10 classes: choose one with ?label=0 after its path, such as
        --generator 'net.pkl?label=0'"
        >>> in_command("all scores are above 0.9: use threshold='median'")
        'all scores are above 0.9: use --threshold median'
    """
    text = " ".join(message.split())
    for said, instead in PHRASES:
        text = text.replace(said, instead)
    return SETTING.sub(
        lambda found: f"--{found[1].replace('_', '-')} {found[2] or found[3] or ''}".rstrip(), text
    )
