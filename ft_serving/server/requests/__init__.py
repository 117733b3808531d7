"""Turns the protocol's tensors into checked parameters of rows, for every engine."""

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
