"""Help as plain text: a long option stands whole on a line of its own, where a table would cut it off."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["GroupedCommand", "Verbs"]


class Verbs(TyperGroup):
    """Verbs with the whole of what each one does."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line or two for each verb."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help or "") for name, command in commands.items() if command])


class GroupedCommand(TyperCommand):
    """A command with so many options that they are listed group by group (their ``rich_help_panel``)."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a list of options for each group, in the order in which the groups come."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)
