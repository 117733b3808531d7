"""Summarises the changes of each stack, rendered or live."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ft_serving.core.errors import FtServingError
from operations.errors import OperationsError
from operations.preview.capacity import Capacity, capacity_of
from operations.preview.compare import Action, Change, Resource, compare
from operations.preview.differences import quoted
from operations.preview.live import preview_live
from operations.preview.rendered import Rendered, checkout, render
from operations.preview.warnings import warnings
from stacks.config import StackConfig
from stacks.sections.cluster import Cost
from stacks.stack_file import read_stack_file, stack_names

_FILE_GOES = (
    "The stack's file would be deleted. What it deployed stays, and costs, until `pulumi destroy` "
    "is run, which needs the file."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StackSummary:
    """The summary of a stack."""

    stack: str
    changes: tuple[Change, ...] = ()  # Its changes, the gravest first.
    warnings: tuple[str, ...] = ()  # Dangers of the changes; names are between backticks.
    before: Capacity = field(default_factory=Capacity)  # The GPUs that it has.
    after: Capacity = field(default_factory=Capacity)  # The GPUs that it would have.
    # The cost of GPUs, by the settings that it would have.
    prices: Cost = field(default_factory=Cost)
    refused: str = ""  # Why it cannot be deployed; nothing else is known then.
    note: str = ""  # Why it is not compared.

    def count(self, action: Action) -> int:
        """Return the number of resources with an action."""
        return sum(change.action is action for change in self.changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The summaries of stacks, and what they are compared with, in words."""

    against: str
    stacks: tuple[StackSummary, ...]


def summarise_rendered(project: Path, stacks: Sequence[str], base: str) -> Summary:
    """Compare the checkout's resources with those of `base`, a folder or a commit.

    Without `stacks`, all stacks of either state are compared.

    Raises:
        OperationsError: There is no such stack or state, or the checkout's program fails.
    """
    with checkout(project, base) as folder:
        present = set(stack_names(project))
        known = sorted({*present, *stack_names(folder)})
        if unknown := [quoted(it) for it in stacks if it not in known]:
            raise OperationsError(
                f"There is no stack {', '.join(unknown)}. There are {', '.join(known)}"
            )
        wanted = list(dict.fromkeys(stacks)) or known
        head = render(project, wanted)
        try:
            other, failure = render(folder, wanted), ""
        except OperationsError as exc:
            other, failure = {}, str(exc)
        summaries = []
        for stack in wanted:
            before = other.get(stack, Rendered(refused=failure))
            if stack in present:
                summaries.append(_compared(stack, before, head[stack], project))
            else:
                gone = _summary(stack, before.resources, (), _config(folder, stack))
                summaries.append(replace(gone, warnings=(_FILE_GOES,)))
    return Summary(against=f"{quoted(base)}, both rendered", stacks=tuple(summaries))


def summarise_live(project: Path, stacks: Sequence[str]) -> Summary:
    """Compare the checkout's resources with those that are deployed, by Pulumi.

    Without `stacks`, named as Pulumi takes them, all of the checkout's are compared.

    Raises:
        OperationsError: Pulumi cannot be run, or a stack has no file.
    """
    return Summary(
        against="the live state",
        stacks=tuple(
            live_summary(project, stack, project / f"Pulumi.{_short(stack)}.yaml")
            for stack in dict.fromkeys(stacks or stack_names(project))
        ),
    )


def live_summary(project: Path, stack: str, settings: Path) -> StackSummary:
    """Summarise Pulumi's preview of one stack; see `preview_live`."""
    live = preview_live(project, stack, settings)
    if live.refused:
        return StackSummary(stack=stack, refused=live.refused)
    config = _config(settings.parent, _short(stack))
    return summary_of(stack, live.changes, live.before, live.after, config)


def summary_of(
    stack: str,
    changes: tuple[Change, ...],
    before: Sequence[Resource],
    after: Sequence[Resource],
    config: StackConfig | None,
) -> StackSummary:
    """Summarise a stack's changes; without its settings there are no prices."""
    gpu = config.gpu.type if config else ""
    return StackSummary(
        stack=stack,
        changes=changes,
        warnings=warnings(changes),
        before=capacity_of(before, gpu),
        after=capacity_of(after, gpu),
        prices=config.cost if config else Cost(),
    )


def _compared(stack: str, base: Rendered, head: Rendered, project: Path) -> StackSummary:
    if head.refused:
        return StackSummary(stack=stack, refused=head.refused)
    config = _config(project, stack)
    if not base.refused:
        return _summary(stack, base.resources, head.resources, config)
    note = f"The base cannot be rendered, so that nothing is compared: {base.refused}"
    return replace(_summary(stack, head.resources, head.resources, config), note=note)


def _summary(
    stack: str, before: Sequence[Resource], after: Sequence[Resource], config: StackConfig | None
) -> StackSummary:
    return summary_of(stack, compare(before, after), before, after, config)


def _config(folder: Path, stack: str) -> StackConfig | None:
    try:
        return read_stack_file(folder, stack)
    except FtServingError:
        # The settings of an older checkout: GPUs are counted, and have no prices.
        return None


def _short(stack: str) -> str:
    """Return the last part of ORGANISATION/PROJECT/STACK, after which the stack's file is named."""
    return stack.rpartition("/")[2]
