"""Parts of what an inversion minimizes: squared distances of features, and weighted sums of them.

`parts` has them all. Each is a function from images to vectors, so that the squared distance of
two vectors is the loss: sums stay sums of squares, which Gauss–Newton steps need. Pixels, LPIPS
and the recognition network's activations are in `directions.scoring.features`. Import the names
from here.
"""

from directions.inversion.losses.parts import identity_features, network_features, weighted

__all__ = ["identity_features", "network_features", "weighted"]
