"""From the protocol's tensors to what each row asks for, checked; the same for every engine."""

from ft_serving.server.requests.plan import RequestPlan, RowPlan, Vocabulary, plan_request
from ft_serving.server.requests.request import GenerationRequest, GenerationResult

__all__ = [
    "GenerationRequest",
    "GenerationResult",
    "RequestPlan",
    "RowPlan",
    "Vocabulary",
    "plan_request",
]
