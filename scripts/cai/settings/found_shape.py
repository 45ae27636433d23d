"""Where a configured model's own files give its sizes, looked for before anything is downloaded."""

from collections.abc import Callable
from pathlib import Path

from cai.models.shape import ModelShape, read_hf, read_nemo
from cai.settings.configuration import Model


def shape_in_files(model: Model, name: str, results: str) -> tuple[ModelShape, Path] | None:
    """The shape that a model's own files give, and the file; None if none is at hand.

    Looked for in its local folder, in what the run has downloaded or converted, in the hub's cache.

    Args:
        model: of the configuration.
        name: base or instruct.
        results: folder of the run.

    Raises:
        UserError: a file that is there gives no shape; the file and what is wrong.
    """
    made = Path(results, "models")
    folder = Path(model.source) if model.is_local else made / f"{name}_hf"
    readers: list[tuple[Path | None, Callable[[Path], ModelShape]]] = [
        (folder / "config.json", read_hf),
        (made / f"{name}.nemo", read_nemo),
        (None if model.is_local else _cached(model), read_hf),
    ]
    found = ((read(path), path) for path, read in readers if path and path.is_file())
    return next(found, None)


def _cached(model: Model) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.source, "config.json", revision=model.revision)
    return Path(found) if isinstance(found, str) else None
