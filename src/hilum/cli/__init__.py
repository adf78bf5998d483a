"""The command line: one file a verb, no logic of its own.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some inputs were rejected.
"""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from hilum.errors import HilumError, UsageError

# verb -> module:function. A verb's module imports nothing heavy at its top, so that `hilum --help` answers at once.
COMMANDS = {
    "demo": "hilum.cli.demo:demo",
    "ingest": "hilum.cli.ingest:ingest",
    "label": "hilum.cli.label:label",
    "sources": "hilum.cli.sources:sources",
    "evaluate": "hilum.cli.evaluate:evaluate",
    "methods": "hilum.cli.methods:methods",
    "pretrain": "hilum.cli.pretrain:pretrain",
    "zeroshot": "hilum.cli.zeroshot:zeroshot",
    "write": "hilum.cli.write:write",
    "search": "hilum.cli.search:search",
    "index": "hilum.cli.index:index",
    "retrieval": "hilum.cli.retrieval:retrieval",
    "compose": "hilum.cli.compose:compose",
    "embed": "hilum.cli.embed:embed",
    "probe": "hilum.cli.probe:probe",
    "finetune": "hilum.cli.finetune:finetune",
    "predict": "hilum.cli.predict:predict",
    "explain": "hilum.cli.explain:explain",
    "pointing": "hilum.cli.pointing:pointing",
    "study": "hilum.cli.study:study",
    "semisupervise": "hilum.cli.semisupervise:semisupervise",
    "import": "hilum.cli.import_:import_",
    "serve": "hilum.cli.serve:serve",
    "info": "hilum.cli.info:info",
    "check": "hilum.cli.check:check",
    "phantom": "hilum.cli.phantom:phantom",
}
GROUPS: dict[str, str] = {
    "recipe": "hilum.cli.recipe:app",
    "labeler": "hilum.cli.labeler:app",
    "labels": "hilum.cli.labels:app",
}

EXIT_FAILED, EXIT_USAGE, EXIT_SOME_REJECTED = 1, 2, 3
EXIT_INTERRUPTED = 130


def build_app() -> typer.Typer:
    """The whole command line as a typer application."""
    app = typer.Typer(
        name="hilum",
        help="Label-free chest X-ray AI. A research tool, not a medical device.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_version)
    for verb, place in COMMANDS.items():
        module, function = place.split(":")
        home = import_module(module)
        app.command(verb, cls=getattr(home, "COMMAND_CLASS", None))(getattr(home, function))
    for noun, place in GROUPS.items():
        module, group = place.split(":")
        app.add_typer(getattr(import_module(module), group), name=noun)
    return app


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors a user can cause are printed as one message, never as a traceback."""
    try:
        code = build_app()(args=arguments, standalone_mode=True)
    except UsageError as error:
        _complain(error)
        code = EXIT_USAGE
    except HilumError as error:
        _complain(error)
        code = EXIT_FAILED
    except SystemExit as ended:  # typer's own, which ends quietly on Ctrl-C
        if ended.code == EXIT_INTERRUPTED:
            sys.stderr.write("stopped. What was finished is kept; run the same command again to go on.\n")
        raise
    sys.exit(code or 0)


def _complain(error: HilumError) -> None:
    sys.stderr.write(f"error: {error}\n")


def _show_version(wanted: bool) -> None:
    if wanted:
        from hilum import __version__

        typer.echo(f"hilum {__version__}")
        raise typer.Exit


def _version(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """Label-free chest X-ray AI. A research tool, not a medical device."""
