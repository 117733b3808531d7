"""A stack's whole configuration: its settings, and the values that follow from them."""

from functools import cached_property

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from ft_serving.core.families.base import Blueprint
from ft_serving.core.release import ReleaseSpec
from stacks import sizing
from stacks.engines import Demand, Engine, engine_for
from stacks.gpus import NODE_LABELS, NodeRequirement
from stacks.models import blueprint_of, golden_of, revision_of
from stacks.quantities import quantity
from stacks.resolved import JOB_CPU, ContainerResources, Scaling, demand_of, scaling_of
from stacks.sections import (
    ClusterSettings,
    ColdStart,
    Cost,
    Golden,
    GpuSettings,
    HubSettings,
    Images,
    Model,
    Replicas,
    Resources,
    Scheduling,
    Serving,
    StorageSettings,
    Tokenizer,
)
from stacks.timeouts import Timeouts

REGION_LABEL = "topology.kubernetes.io/region"

HUB_TOKEN = "hubToken"  # noqa: S105 - the name of a setting
REGISTRY_PASSWORD = "registryPassword"  # noqa: S105 - the name of a setting
SECRETS = (HUB_TOKEN, REGISTRY_PASSWORD)
"""Settings beside the sections that only ever exist as Pulumi secrets."""


class StackConfig(BaseModel):
    """Valid as a whole; made by `stacks.parse.parse_config`."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="forbid")

    model: Model
    tokenizer: Tokenizer | None = None
    golden: Golden | None = None
    gpu: GpuSettings = GpuSettings()
    replicas: Replicas = Replicas()
    serving: Serving = Serving()
    image: Images
    storage: StorageSettings
    scheduling: Scheduling = Scheduling()
    resources: Resources = Resources()
    cold_start: ColdStart = ColdStart()
    hub: HubSettings = HubSettings()
    cluster: ClusterSettings = ClusterSettings()
    cost: Cost = Cost()

    @cached_property
    def blueprint(self) -> Blueprint:
        """The model's family and numbers, set or built in."""
        found = blueprint_of(self.model)
        assert found is not None, "parse_config refuses a model without"  # noqa: S101
        return found

    @cached_property
    def revision(self) -> str:
        """The model's commit, set or built in."""
        found = revision_of(self.model)
        assert found is not None, "parse_config refuses a model without"  # noqa: S101
        return found

    @cached_property
    def golden_question(self) -> Golden:
        """The question that ends a deployment, set or built in."""
        found = golden_of(self.model, self.golden)
        assert found is not None, "parse_config refuses a model without"  # noqa: S101
        return found

    @cached_property
    def release(self) -> ReleaseSpec:
        """The release of weights to serve; its `name` is known before the Job has run."""
        release_format = self.engine.release_format
        is_divided = release_format.is_divided
        return ReleaseSpec(
            repository=self.model.repository,
            revision=self.revision,
            dtype=self.model.dtype,
            # A release for any number of GPUs has the Job's defaults.
            tensor_parallel=self.gpu.tensor_parallel if is_divided else 1,
            pipeline_parallel=self.gpu.pipeline_parallel if is_divided else 1,
            compute_dtype=self.model.computed_in.dtype,
            streaming=self.serving.streaming,
            input_length=self.serving.input_length,
            output_length=self.serving.output_length,
            format=release_format,
        )

    @cached_property
    def tokenizer_source(self) -> str:
        """The tokenizer as the client's `--tokenizer` takes it: OWNER/NAME@REVISION."""
        if self.tokenizer is not None:
            return f"{self.tokenizer.repository}@{self.tokenizer.revision}"
        return f"{self.model.repository}@{self.revision}"

    @cached_property
    def engine(self) -> Engine:
        """The engine: as set, else the first that can serve on `gpu.type`."""
        return engine_for(self.serving.engine, self.gpu.model)

    @cached_property
    def demand(self) -> Demand:
        """The model, the formats and the load that the server must have memory for."""
        return demand_of(self.blueprint, self.model, self.gpu, self.serving)

    @cached_property
    def cache_key(self) -> str | None:
        """The name of the cache of a server's compiled code; None where it compiles nothing.

        It holds the settings that decide what is compiled and are not in the release's name.
        """
        if self.engine.compiler is None:
            return None
        gpus = f"{self.gpu.type}-tp{self.gpu.tensor_parallel}"
        batch = f"batch{self.serving.batch}"
        return f"{self.engine.compiler}-{gpus}-{self.model.computed_in}-{batch}"

    @cached_property
    def node_requirements(self) -> tuple[NodeRequirement, ...]:
        """Labels of the nodes that the server may run on; all of them must match."""
        labels = NODE_LABELS.get(self.scheduling.node_labels)
        by_gpu = labels and labels.requirement(self.gpu.type)
        return (by_gpu, *self.region_requirements) if by_gpu else self.region_requirements

    @cached_property
    def region_requirements(self) -> tuple[NodeRequirement, ...]:
        """Labels of the nodes that any pod may run on: the volume may be of one region."""
        region = self.scheduling.region
        return () if region is None else (NodeRequirement(key=REGION_LABEL, values=(region,)),)

    @cached_property
    def scaling(self) -> Scaling:
        """Replicas with every default filled in."""
        return scaling_of(self.replicas, self.serving)

    @cached_property
    def server_resources(self) -> ContainerResources:
        """Of the server's container: as set, else as the model needs."""
        return ContainerResources(
            cpu=self.resources.cpu or str(self.engine.cores(self.demand)),
            memory=self.resources.memory or quantity(self.engine.main_memory(self.demand)),
            gpus=self.gpu.count,
            shared_memory=quantity(self.engine.shared_memory(self.demand)),
        )

    @cached_property
    def job_resources(self) -> ContainerResources:
        """Of the Job that downloads and converts."""
        return ContainerResources(
            cpu=JOB_CPU,
            memory=quantity(sizing.job_memory(self.blueprint)),
            gpus=0,
            shared_memory=None,
        )

    @cached_property
    def job_deadline_s(self) -> int:
        """Seconds that the Job may take, all of its attempts together."""
        return sizing.job_deadline_s(self.blueprint, self.model.dtype)

    @cached_property
    def timeouts(self) -> Timeouts:
        """Every timeout of the service, its gate and its clients."""
        return Timeouts.from_budget(self.cold_start.budget_seconds)
