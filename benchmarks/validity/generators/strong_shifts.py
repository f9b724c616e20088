"""Strong shifts of one large program, whose mirror image is in all others.

Program 0 has 30 % of the usage. A fifth of the targets act: half of these shift it by a log-ratio
of 1.5 up or down, the others shift one other program by 0.5. Here a null is a program that was not
touched, be its log-ratio moved or not: what p and q call beside the touched program is false.
"""

import numpy as np
from scipy.special import expit, softmax

from benchmarks.validity.simulated import (
    N_PROGRAMS,
    N_TARGETS,
    Simulated,
    draw_covariates,
    intercepts,
    log_even,
    straight_features,
)

ABOUT = "high MOI; strong shifts of a large program: what was touched?"
#: Of program 0, in log-usages, which makes its share 0.3.
LARGE = 2.65
STRONG, WEAK = 1.5, 0.5


def make(rng: np.random.Generator) -> Simulated:
    """A screen."""
    table = draw_covariates(rng)
    F = straight_features(table)
    sizes = log_even(rng, 50.0, 500.0, N_TARGETS)
    eta = F @ rng.normal(0, 0.5, (F.shape[1], N_TARGETS))
    held = rng.random(eta.shape) < expit(eta + intercepts(eta, sizes))
    truth = np.zeros((N_TARGETS, N_PROGRAMS))
    acts = rng.permutation(N_TARGETS)[: N_TARGETS // 5]
    for g in acts:
        strong = rng.random() < 0.5
        program = 0 if strong else rng.integers(1, N_PROGRAMS)
        truth[g, program] = (STRONG if strong else WEAK) * rng.choice([-1, 1])
    logs = F @ rng.normal(0, 0.3, (F.shape[1], N_PROGRAMS))
    logs += rng.standard_normal(logs.shape) + held @ truth
    logs[:, 0] += LARGE
    targets = [f"T{g}" for g in range(N_TARGETS)]
    return Simulated(softmax(logs, axis=1), table, held, targets, truth)
