"""Between replicas, mode and time."""

from stacks.errors import Problem, any_of
from stacks.resolved import METRICS
from stacks.rules.base import Problems, Rule
from stacks.sections import ColdStart, Mode, Replicas, Serving
from stacks.timeouts import STANDARD_PROGRESS_DEADLINE_S


def _bounds(replicas: Replicas) -> Problems:
    if replicas.min > replicas.max:
        yield Problem(
            path="replicas.max",
            rule=f"must be at least replicas.min {replicas.min}",
            got=str(replicas.max),
            use=str(replicas.min),
        )


def _metric(replicas: Replicas, serving: Serving) -> Problems:
    metrics = METRICS[serving.mode]
    metric = replicas.scale_metric or metrics[0]
    if metric not in metrics:
        yield Problem(
            path="replicas.scaleMetric",
            rule=f"must be one that mode {serving.mode} can scale by",
            got=metric.value,
            use=any_of(metrics),
        )
    if metric in METRICS[Mode.STANDARD] and (replicas.scale_target or 0) > 100:
        yield Problem(
            path="replicas.scaleTarget",
            rule=f"must be a percentage for the metric {metric}",
            got=str(replicas.scale_target),
            use="1 to 100",
        )
    if serving.mode is Mode.STANDARD and replicas.min == 0:
        yield Problem(
            path="replicas.min",
            rule="must be at least 1 in mode Standard, which cannot scale to zero",
            got="0",
            use="1, or serving.mode Serverless",
        )


def _concurrency(replicas: Replicas, serving: Serving) -> Problems:
    given, batch = replicas.container_concurrency, serving.batch
    if given is None:
        return
    if serving.mode is Mode.STANDARD:
        yield Problem(
            path="replicas.containerConcurrency",
            rule="must be left out in mode Standard, where nothing enforces it",
            got=str(given),
            use="no containerConcurrency, or serving.mode Serverless",
        )
        return
    if given > batch:
        yield Problem(
            path="replicas.containerConcurrency",
            rule=f"must be at most serving.batch {batch}, the rows that memory is sized for",
            got=str(given),
            use=f"{batch}, or a larger serving.batch",
        )
    if given == 1 < batch:
        yield Problem(
            path="replicas.containerConcurrency",
            rule=f"must be above 1, because one request at a time makes no batch of {batch}",
            got="1",
            use=f"{batch}, or serving.batch 1",
        )


def _cold_start(serving: Serving, cold_start: ColdStart) -> Problems:
    budget = cold_start.budget_seconds
    if serving.mode is Mode.STANDARD and budget > STANDARD_PROGRESS_DEADLINE_S:
        yield Problem(
            path="coldStart.budgetSeconds",
            rule=f"must be at most {STANDARD_PROGRESS_DEADLINE_S} in mode Standard, where a "
            "Deployment's progress deadline cannot be set",
            got=str(budget),
            use=f"{STANDARD_PROGRESS_DEADLINE_S} or less, or serving.mode Serverless",
        )


RULES = (
    Rule(sections=("replicas",), check=_bounds),
    Rule(sections=("replicas", "serving"), check=_metric),
    Rule(sections=("replicas", "serving"), check=_concurrency),
    Rule(sections=("serving", "cold_start"), check=_cold_start),
)
