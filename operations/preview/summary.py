"""Puts together what there is to say about each stack, whatever it is compared with."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ft_serving.core.errors import FtServingError
from operations.errors import OperationsError
from operations.preview.capacity import Capacity, capacity_of
from operations.preview.changes import Action, Change, Resource
from operations.preview.compare import compare
from operations.preview.live import preview_live
from operations.preview.rendered import Rendered, checkout, render
from operations.preview.warnings import warnings
from operations.preview.words import quoted
from stacks.config import StackConfig
from stacks.sections.cluster import Cost
from stacks.stack_file import read_stack_file, stack_names

_FILE_GOES = (
    "The stack's file would be deleted. What it deployed stays, and costs, until `pulumi destroy` "
    "is run, which needs the file."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StackSummary:
    """What there is to say about a stack.

    Attributes:
        stack: Its name.
        changes: What would be done, the gravest first.
        warnings: What someone should know before; names are between backticks.
        before: The GPUs that it has.
        after: The GPUs that it would have.
        prices: What GPUs cost, by the settings that it would have.
        refused: Why it cannot be deployed; nothing else is known then.
        note: Why it is not compared.
    """

    stack: str
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    before: Capacity = field(default_factory=Capacity)
    after: Capacity = field(default_factory=Capacity)
    prices: Cost = field(default_factory=Cost)
    refused: str = ""
    note: str = ""

    def count(self, action: Action) -> int:
        """How many resources something is done with."""
        return sum(change.action is action for change in self.changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What there is to say about stacks.

    Attributes:
        against: What they are compared with, in words.
        stacks: One summary each.
    """

    against: str
    stacks: tuple[StackSummary, ...]


def summarise_rendered(project: Path, stacks: Sequence[str], base: str) -> Summary:
    """Compare what the checkout makes with what another state of it makes.

    Args:
        project: The checkout's folder.
        stacks: Names of stacks; all that either state has, if empty.
        base: The other state: a folder or a commit.

    Raises:
        OperationsError: There is no such stack or state, or the checkout's program fails.
    """
    with ExitStack() as context:
        folder = context.enter_context(checkout(project, base))
        known = sorted({*stack_names(project), *stack_names(folder)})
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
        removed = set(wanted) - set(stack_names(project))
        summaries = [
            _removed(stack, other.get(stack, Rendered()), folder)
            if stack in removed
            else _compared(stack, other.get(stack, Rendered(refused=failure)), head[stack], project)
            for stack in wanted
        ]
    return Summary(against=f"{quoted(base)}, both rendered", stacks=tuple(summaries))


def summarise_live(project: Path, stacks: Sequence[str]) -> Summary:
    """Have Pulumi compare what the checkout makes with what is deployed.

    Args:
        project: The checkout's folder.
        stacks: Names of stacks, as Pulumi takes them; all of the checkout's, if empty.

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
    """Have Pulumi preview one stack.

    Args:
        project: The program's folder.
        stack: The stack's name, as Pulumi takes it.
        settings: The stack's file.

    Raises:
        OperationsError: Pulumi cannot be run, or the file cannot be read.
    """
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
    """Say of a stack's changes what they mean.

    Args:
        stack: The stack's name.
        changes: What would be done.
        before: The resources that there are.
        after: The resources that there would be.
        config: The stack's settings, for prices; None where they cannot be read.
    """
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
    if base.refused:
        summary = summary_of(stack, (), head.resources, head.resources, config)
        note = f"The base cannot be rendered, so that nothing is compared: {base.refused}"
        return replace(summary, note=note)
    changes = compare(base.resources, head.resources)
    return summary_of(stack, changes, base.resources, head.resources, config)


def _removed(stack: str, base: Rendered, folder: Path) -> StackSummary:
    changes = compare(base.resources, ())
    summary = summary_of(stack, changes, base.resources, (), _config(folder, stack))
    return replace(summary, warnings=(_FILE_GOES,))


def _config(folder: Path, stack: str) -> StackConfig | None:
    try:
        return read_stack_file(folder, stack)
    except FtServingError:
        # Settings of another time than this checkout's: GPUs are counted, and have no prices.
        return None


def _short(stack: str) -> str:
    """The last part of ORGANISATION/PROJECT/STACK, which the stack's file is named by."""
    return stack.rpartition("/")[2]
