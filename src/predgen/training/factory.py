"""The method that a plan describes, built on its base: once, or again for another number of steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import set_seed

from predgen.answers.spaces import LabelSet, Space
from predgen.evaluation import Targets
from predgen.model.bases import Base
from predgen.model.build import build_fields_method, build_writer
from predgen.model.method import Method
from predgen.model.record import RecordMethod
from predgen.model.scale import Scale, scale_of
from predgen.model.setting import Setting
from predgen.training.bench import Bench, load_base_for
from predgen.training.plan import Plan
from predgen.training.prepare import Say
from predgen.training.start import Start


@dataclass(frozen=True)
class MethodFactory:
    """Builds a run's method.

    Args:
        plan: The run.
        bench: Base, answers and prompts.
        start: What the method starts from; None: a new adapter and a new director.
        say: Takes one line at a time.
        trust_remote_code: Whether code that comes with the base model may run.
    """

    plan: Plan
    bench: Bench
    start: Start | None
    say: Say
    trust_remote_code: bool

    @cached_property
    def scales(self) -> tuple[Scale, ...]:
        """Of each answer's targets: those that the weights were trained with, else the training rows'."""
        if self.start is not None:
            return self.start.scales
        return tuple(_scale(*each) for each in zip(self.bench.spaces, self.plan.prepared.train.targets, strict=True))

    def build(self, total_steps: int) -> Method[Any] | RecordMethod:
        """On the bench's base, which carries the adapter afterwards: this can be asked for once.

        Args:
            total_steps: Optimizer steps of the run, which schedules and some PEFT methods follow.
        """
        return self._build(total_steps, self.bench.base)

    def rebuild(self, total_steps: int) -> Method[Any] | RecordMethod:
        """As `build`, on a base that is loaded anew."""
        return self._build(total_steps, load_base_for(self.plan.config, self.say, self.trust_remote_code))

    def _build(self, total_steps: int, base: Base) -> Method[Any] | RecordMethod:
        plan, bench = self.plan, self.bench
        set_seed(plan.config.train.seed)
        lm = plan.peft.build(base.model, plan.config.peft, total_steps)
        settings = [
            Setting(each, field.task, space, total_steps, scale)
            for each, field, space, scale in zip(
                plan.fields, plan.prepared.schema.fields, bench.spaces, self.scales, strict=True
            )
        ]
        method = build_fields_method(build_writer(lm, plan.config, bench.scoring), bench.tables, bench.cues, settings)
        if self.start is not None:
            self.start.put_into(method)
        return method


def _scale(space: Space, targets: Targets) -> Scale:
    return Scale() if isinstance(space, LabelSet) else scale_of(space, [float(target) for target in targets])
