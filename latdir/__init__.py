"""Find, measure and apply directions in the latent space of a generator.

`import latdir as ld` is the door: the public names of `directions`, `discovery` and `analysis` are
here, imported when first used; the command `latdir` is a thin shell over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from latdir.shadows import refuse_shadows

refuse_shadows("directions", "discovery", "analysis")

import analysis  # noqa: E402
import directions  # noqa: E402
import discovery  # noqa: E402

if TYPE_CHECKING:
    from analysis import *
    from directions import *
    from discovery import *
    from latdir.explorer.hosts.widget import explore

__version__ = "0.1.0"

__all__ = ["__version__", "explore"]
__all__ += directions.__all__
__all__ += discovery.__all__
__all__ += analysis.__all__


def __getattr__(name: str) -> Any:
    if name == "explore":
        from latdir.explorer.hosts.widget import explore

        return explore
    for package in (directions, discovery, analysis):
        if name in package.__all__:
            return getattr(package, name)
    raise AttributeError(f"module 'latdir' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
