"""Division of a training into epochs."""

from __future__ import annotations

#: Shortest epoch of a training that has more iterations; an epoch ends with a validation on whole images.
_SHORTEST = 100
#: Number of epochs that a training should have, where the limits of their length allow it.
_EPOCHS = 20


def epoch_length(iterations: int, *, longest: int = 500) -> int:
    """Return the number of iterations of an epoch, after each of which the training validates and saves.

    Parameters
    ----------
    iterations
        Of the training, at least 1.
    longest
        Longest epoch.

    Returns
    -------
    int
        A twentieth of the training, but at least 100 iterations and at most `longest`; all of a training that is
        shorter. It is rounded so that whole epochs have nearly `iterations` together.
    """
    wanted = min(longest, max(_SHORTEST, iterations // _EPOCHS))
    return max(1, iterations // max(1, round(iterations / wanted)))
