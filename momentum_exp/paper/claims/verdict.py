"""The rules that turn statistics into words."""

from collections.abc import Iterable

from momentum_exp.paper.claims.paired import Paired

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
NOT_SHOWN = "not shown"
NOT_ENOUGH = "not enough runs"
MIXED = "mixed"
NOT_JUDGED = "not judged"
NOT_TESTABLE = "not testable by runs"
VERDICTS = (SUPPORTED, CONTRADICTED, NOT_SHOWN, NOT_ENOUGH, MIXED, NOT_JUDGED, NOT_TESTABLE)

ALPHA = 0.05
FEWEST_PAIRS = 5
FEWEST_EVALUATIONS = 20

RULES = f"""\
- **Pairs.** The same seed in both arms: the same draws for initialisation, batches and permutation.
- **How many seeds** is for the reader to settle before looking: whoever adds seeds until a verdict appears gets one in
  more than {ALPHA:.0%} of the cases where there is nothing.
- **Effect.** The mean difference with its 95% interval: t, from 15 pairs on BCa bootstrap, which covers too seldom with
  fewer (82% at 5 pairs). Measures on a logarithm are shown as factors.
- **Verdict on a test.** From {FEWEST_PAIRS} pairs on; with fewer it is *{NOT_ENOUGH}*, the effect is shown anyway.
  *{SUPPORTED}* or *{CONTRADICTED}*: the p value of the paired t-test is at most {ALPHA} after Holm's correction over
  all tests of all claims that have {FEWEST_PAIRS} pairs at this scale, and the exact sign-flip test agrees as far as it
  can (p at most {ALPHA}, or with few pairs all differences on one side). Otherwise *{NOT_SHOWN}*; also where all
  differences are equal, which leaves a t-test no spread to go by.
- **Speed** is known to the resolution of an evaluation. With fewer than {FEWEST_EVALUATIONS} evaluations in the
  iterations that are compared it is *{NOT_JUDGED}*, the effect is shown anyway, and Holm's correction leaves it out.
- **Why the t-test decides.** With 5 pairs the exact test can't fall below 2/32 = 0.06, whatever the effect, and after a
  correction over 20 tests it takes 10 pairs. The t-test assumes differences that are about normal, which 5 pairs can't
  check; the sign-flip test beside it keeps a single outlier from deciding.
- **Verdict on a claim.** Of its tests with enough pairs: all *{SUPPORTED}*, all *{CONTRADICTED}* or all *{NOT_SHOWN}*;
  *{MIXED}* where they disagree; *{NOT_ENOUGH}* where there is none; *{NOT_JUDGED}* where no test is. It holds at its
  scale and for the studies named.
- **Selection.** A test metric is that of the epoch with the best validation metric, or of the last epoch where no rows
  are held out; never of the best epoch on the test set, which the paper's Table 1 reports.
- **Diverged runs stay in**, with the worst number that any run of the comparison had at any time, and as never reaching
  a threshold. A run that does not reach one is censored at the last iteration, the same for all runs.
"""


def judge_test(effect: Paired | None, adjusted_p: float | None, supports: str) -> str:
    """The verdict on one test by RULES. supports: the sign of the mean difference that does, `higher` or `lower`.

    adjusted_p: None where all differences are equal.
    """
    if effect is None or effect.n < FEWEST_PAIRS or effect.p_sign_flip is None:
        return NOT_ENOUGH
    if adjusted_p is None or adjusted_p > ALPHA or effect.p_sign_flip > max(ALPHA, 2 / 2**effect.n):
        return NOT_SHOWN
    return SUPPORTED if (effect.mean > 0) == (supports == "higher") else CONTRADICTED


def judge_claim(verdicts: Iterable[str]) -> str:
    """The verdict on a claim with tests, given theirs, by RULES."""
    given = set(verdicts)
    decided = given - {NOT_ENOUGH, NOT_JUDGED}
    if not decided:
        return NOT_JUDGED if given == {NOT_JUDGED} else NOT_ENOUGH
    return decided.pop() if len(decided) == 1 else MIXED
