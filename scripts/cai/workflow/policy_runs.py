"""What the comparison of the last stages needs before anything runs."""

from cai.core.digests import canonical_json
from cai.settings.configuration import Settings
from cai.settings.last_stages import REWARDED
from cai.workflow.experiments import Places


def parts(settings: Settings, places: Places) -> str:
    """Of each policy the jobs that only it needs, and where their cost is kept, as JSON.

    See :class:`cai.report.policy_report.policy_comparison.Part`.
    """
    return canonical_json(
        {
            policy: [
                *([_trained(settings, places.preference, "reward_model")] * (policy in REWARDED)),
                *([_scoring(settings, places)] * (policy == "best_of_n")),
                _trained(settings, places.results, policy),
            ]
            for policy in settings.policies
        }
    )


def _trained(settings: Settings, place: str, name: str) -> dict[str, object]:
    manifest = f"{place}/{name}.manifest.json"
    return {"name": name, "manifest": manifest, "estimate": settings.estimates.jobs.get(name)}


def _scoring(settings: Settings, places: Places) -> dict[str, object]:
    """The scores of the candidates, which best of n chooses by."""
    journals = f"{places.results}/work/journal"
    costs = [f"{journals}/best_answers-{shard}.cost.json" for shard in range(settings.shards)]
    estimate = settings.estimates.jobs.get("best_answers")
    return {"name": "best_answers", "costs": costs, "estimate": estimate}
