"""Rules between replicas, mode and time."""

from collections.abc import Iterator

from stacks.errors import Problem, any_of
from stacks.resolved import METRICS
from stacks.sections import ColdStart, Mode, Replicas, Serving
from stacks.timeouts import STANDARD_PROGRESS_DEADLINE_S


def _bounds(replicas: Replicas) -> Iterator[Problem]:
    if replicas.min > replicas.max:
        rule = f"must be at least replicas.min {replicas.min}"
        yield Problem("replicas.max", rule, str(replicas.max), str(replicas.min))


def _metric(replicas: Replicas, serving: Serving) -> Iterator[Problem]:
    metrics = METRICS[serving.mode]
    metric = replicas.scale_metric or metrics[0]
    if metric not in metrics:
        rule = f"must be one that mode {serving.mode} can scale by"
        yield Problem("replicas.scaleMetric", rule, metric.value, any_of(metrics))
    if metric in METRICS[Mode.STANDARD] and (replicas.scale_target or 0) > 100:
        rule = f"must be a percentage for the metric {metric}"
        yield Problem("replicas.scaleTarget", rule, str(replicas.scale_target), "1 to 100")
    if serving.mode is Mode.STANDARD and replicas.min == 0:
        rule = "must be at least 1 in mode Standard, which cannot scale to zero"
        yield Problem("replicas.min", rule, "0", "1, or serving.mode Serverless")


def _concurrency(replicas: Replicas, serving: Serving) -> Iterator[Problem]:
    path, given, batch = (
        "replicas.containerConcurrency",
        replicas.container_concurrency,
        serving.batch,
    )
    if given is None:
        return
    if serving.mode is Mode.STANDARD:
        rule = "must be left out in mode Standard, where nothing enforces it"
        yield Problem(path, rule, str(given), "no containerConcurrency, or serving.mode Serverless")
    elif given > batch:
        rule = f"must be at most serving.batch {batch}, the rows that memory is sized for"
        yield Problem(path, rule, str(given), f"{batch}, or a larger serving.batch")
    elif given == 1 < batch:
        rule = f"must be above 1, because one request at a time makes no batch of {batch}"
        yield Problem(path, rule, "1", f"{batch}, or serving.batch 1")


def _cold_start(serving: Serving, cold_start: ColdStart) -> Iterator[Problem]:
    budget, most = cold_start.budget_seconds, STANDARD_PROGRESS_DEADLINE_S
    if serving.mode is Mode.STANDARD and budget > most:
        yield Problem(
            "coldStart.budgetSeconds",
            f"must be at most {most} in mode Standard, where a Deployment's progress deadline "
            "cannot be set",
            str(budget),
            f"{most} or less, or serving.mode Serverless",
        )


RULES = (_bounds, _metric, _concurrency, _cold_start)
