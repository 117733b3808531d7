"""Every timeout, from one number: how long a cold start may take.

Each that waits for another is longer than it, so that the one that knows the cause speaks first:
loading gives up before Knative, Knative before the gate, the gate before Pulumi.
"""

from dataclasses import dataclass

KNATIVE_MAX_REQUEST_S = 600
"""Knative's `max-revision-timeout-seconds` (config-defaults): more is refused."""

STANDARD_PROGRESS_DEADLINE_S = 600
"""A Deployment's default, for which KServe's Standard mode has no field."""

STARTUP_PERIOD_S = 5
READINESS_PERIOD_S = 5
LIVENESS_PERIOD_S = 10
LIVENESS_FAILURES = 6
PROBE_TIMEOUT_S = 5
"""A server at full load answers within seconds; after a minute of silence it is ended."""

_SETTLING_S = 30
_PULUMI_S = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Seconds.

    Attributes:
        loading: How long a server may take to load before anything ends it.
        progress_deadline: Knative's `serving.knative.dev/progress-deadline`, of the first replica.
        request: Knative's revision timeout. It begins when a request arrives, so it covers the cold
            start of a service that is scaled to zero; where Knative's maximum is less, clients ask
            again.
        gate: How long the gate waits for READY.
        service: Pulumi's custom timeout of the InferenceService.
        gate_job: Pulumi's custom timeout of the gate.
        client: How long clients wait for a model that is not ready.
    """

    loading: int
    progress_deadline: int
    request: int
    gate: int
    service: int
    gate_job: int
    client: int

    @classmethod
    def from_budget(cls, budget_s: int) -> "Timeouts":
        """Derive all of them.

        Args:
            budget_s: Seconds from a pod's creation to READY.
        """
        progress_deadline = budget_s + _SETTLING_S
        gate = progress_deadline + _SETTLING_S
        return cls(
            loading=budget_s,
            progress_deadline=progress_deadline,
            # An answer of its own takes long, too, so that short budgets do not shorten it.
            request=min(KNATIVE_MAX_REQUEST_S, max(300, budget_s + _SETTLING_S)),
            gate=gate,
            service=gate + _PULUMI_S,
            gate_job=gate + _PULUMI_S,
            client=gate,
        )
