"""The commands ``features`` and ``run``: from files of videos, sounds or sensors on."""

import inspect
import tempfile
from pathlib import Path

import numpy as np

from skdgam._arguments import check_output, read_settings, tracked_if_possible
from skdgam._words import Refused, count, some

__all__ = ["KINDS", "features", "run"]

KINDS = {  # endings of the files of each kind
    "video": (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".mpg", ".mpeg", ".ts", ".ogv"),
    "sound": (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif"),
    "table": (".csv", ".tsv"),
}


def features(arguments):
    """Make the features of videos, sounds or tables of sensors, a file for each.

    What is done is kept: cut off by whatever, it goes on from there with --resume. A recording
    that fails keeps none of the others from being made.
    """
    from skdgam.features._folder import ABOUT

    sources, kind = _sources(arguments.sources)
    made = _transformers(arguments, kind, sources[0])
    folders = [arguments.output / name if len(made) > 1 else arguments.output for name in made]
    for folder in folders:
        if (folder / ABOUT).exists() and not arguments.resume:
            raise Refused(
                f"{folder} has features already; --resume goes on with them, and makes only what "
                "is not there or has changed."
            )
    failed = set()
    try:
        for transformer, folder in zip(made.values(), folders, strict=True):
            failed |= _made(transformer, sources, folder, f": {folder}")
    except KeyboardInterrupt as interruption:
        reason = f"{arguments.output} has what was made; --resume makes the rest"
        raise KeyboardInterrupt(reason) from interruption
    times = next(iter(made.values())).snippet_times()
    print(
        f"A snippet stands for {times['snippet_seconds']:g} s, and the first begins at "
        f"{times['snippet_offset']:g} s; fit takes that from {folders[0] / ABOUT}."
    )
    if failed:
        raise Refused(
            f"{count(len(failed), 'recording')} of {len(sources)} failed: {some(failed)}. Mend or "
            "remove them, and go on with --resume."
        )


def run(arguments):
    """Find actions in videos, sounds or tables of sensors, as a model was taught to.

    Features are made as those that the model was trained on.
    """
    from skdgam import load
    from skdgam._commands import write_detections
    from skdgam.datasets import FeatureFolder

    check_output(arguments, (".json", ".csv", ".tsv"))
    model = load(arguments.model)
    sources, kind = _sources(arguments.sources)
    extractors = _extractors(arguments, model)
    made = [_remade(arguments, kind, *given) for given in enumerate(extractors)]
    failed = set()
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder, str(i)) for i in range(len(made))]
        for transformer, stream in zip(made, folders, strict=True):
            failed |= _made(transformer, sources, stream, "")
        good = [source.name not in failed for source in sources]
        if any(good):
            X = FeatureFolder(folders)
            names = [source.stem for source, is_good in zip(sources, good, strict=True) if is_good]
            write_detections(arguments, model, X[np.isin(X.names, names)])
    if failed:
        raise Refused(
            f"{count(len(failed), 'recording')} of {len(sources)} failed: {some(failed)}."
        )


def _sources(given):
    """Files of one kind, in folders or named one by one."""
    files = []
    for path in given:
        if path.is_dir():
            held = [p for p in path.glob("[!.]*") if p.is_file() and _kind(p)]
            if any(_kind(p) != "table" for p in held):  # a table beside others is of labels
                held = [p for p in held if _kind(p) != "table"]
            files += sorted(held)
        elif path.exists():
            files.append(path)
        else:
            raise Refused(f"{path} does not exist.")
    known = ", ".join(ending for endings in KINDS.values() for ending in endings)
    if not files:
        raise Refused(f"{given[0]} has no recording; those that are read end in {known}.")
    other = next((path for path in files if not _kind(path)), None)
    if other:
        raise Refused(f"{other} ends in none of {known}.")
    kinds = {_kind(path): path for path in files}
    if len(kinds) > 1:
        named = ", ".join(f"{path} is a {kind}" for kind, path in kinds.items())
        raise Refused(f"Recordings must be of one kind, and {named}; name the files of one.")
    return files, next(iter(kinds))


def _kind(path):
    return next((kind for kind, endings in KINDS.items() if path.suffix.lower() in endings), None)


def _class(kind):
    from skdgam.features.sound import SoundFeatures
    from skdgam.features.table import TableFeatures
    from skdgam.features.video import VideoFeatures

    return {"video": VideoFeatures, "sound": SoundFeatures, "table": TableFeatures}[kind]


def _transformers(arguments, kind, first):
    """What makes features, by the name of the stream."""
    make = _class(kind)
    settings = read_settings(arguments.set, make)
    streams, weights = arguments.stream or ["rgb"], arguments.weights
    if arguments.columns:
        if kind != "table":
            raise Refused(f"--columns is for tables, and {arguments.sources[0]} is a {kind}.")
        sensors = [[name.strip() for name in given.split(",")] for given in arguments.columns]
        settings = {"columns": sensors} | settings
    if kind != "video":
        for name in ("stream", "weights", "backbone"):
            if getattr(arguments, name):
                raise Refused(f"--{name} is for videos, and {arguments.sources[0]} is a {kind}.")
        settings = {"n_jobs": arguments.jobs} | settings
        needed = inspect.signature(make).parameters.values()
        missing = [p.name for p in needed if p.default is p.empty and p.name not in settings]
        if missing:
            raise Refused(f"{make.__name__} needs {' and '.join(missing)}: {_how(missing, first)}")
        return {kind: make(**settings)}
    if len(set(streams)) < len(streams):
        raise Refused(f"--stream {streams[0]} is given twice.")
    if len(weights) not in (0, 1, len(streams)):
        raise Refused(
            f"There are {count(len(weights), 'file')} of weights for "
            f"{count(len(streams), 'stream')}; give each stream its own, in the same order."
        )
    if len(weights) < len(streams):
        weights = weights * len(streams) or [None] * len(streams)
    backbone = {"backbone": arguments.backbone} if arguments.backbone else {}
    return {
        stream: make(
            **{"weights": given, "stream": stream, "n_jobs": arguments.jobs} | backbone | settings
        )
        for stream, given in zip(streams, weights, strict=True)
    }


def _how(missing, first):
    """How to give the parameters that tables need, of which one is the first."""
    from skdgam.features._csv import column_names

    given = [f"--set {name}=VALUE" for name in missing if name != "columns"]
    if "columns" not in missing:
        return f"{' '.join(given)}."
    return (
        f"{' '.join(['--columns NAME,NAME', *given])}. {first} has the columns "
        f"{', '.join(column_names(first)) or 'none'}; name those of one sensor together, and "
        "repeat --columns for each sensor."
    )


def _extractors(arguments, model):
    """How the features of each stream of a model were made."""
    about = getattr(model, "about_features_", None)
    if about is None:
        raise Refused(
            f"{arguments.model} does not know how its features were made, since their folder did "
            "not say. Make those of the new recordings in the same way, and use skdgam predict."
        )
    return about["extractor"]


def _remade(arguments, kind, i, extractor):
    """A transformer that makes the features of stream i as those of a model were made."""
    from skdgam.features._folder import differences
    from skdgam.features.backbones import BACKBONES

    kinds = {_class(known).__name__: known for known in KINDS}
    settings = {name: value for name, value in extractor.items() if name != "class"}
    trained_on = kinds.get(extractor["class"])
    if trained_on is None or settings.get("backbone", "i3d") not in BACKBONES:
        raise Refused(
            f"{arguments.model} was trained on features that a function or network of somebody's "
            "own has made, which is not in the model. Make features in the same way, in Python, "
            "and use skdgam predict."
        )
    if trained_on != kind:
        raise Refused(
            f"{arguments.model} was trained on each {trained_on} of a folder, and "
            f"{arguments.sources[0]} is or has a {kind}."
        )
    make = _class(kind)
    if not set(settings) <= set(inspect.signature(make).parameters):
        raise Refused(
            f"{arguments.model} was trained on features of another skdgam, with settings that this "
            "one does not know."
        )
    if str(settings.get("weights")).startswith("sha256 "):
        if len(arguments.weights) <= i:
            raise Refused(
                f"{arguments.model} was trained on features of a network with weights of its own; "
                "name their file, as when those features were made: --weights FILE, for each "
                "stream."
            )
        settings["weights"] = arguments.weights[i]
    transformer = make(**settings, n_jobs=arguments.jobs)
    apart = differences(extractor, transformer._extractor())
    if apart:
        raise Refused(f"{arguments.model} was trained on features that differ: {apart}.")
    return transformer


def _made(transformer, sources, folder, where):
    """Make features, and return the names of the recordings that failed."""
    failed, n_snippets = set(), 0
    made = transformer._to_folder(sources, folder)
    for source, result in tracked_if_possible(made, len(sources), "features"):
        if isinstance(result, Exception):
            failed.add(source.name)
            print(f"Failed: {result}")
        else:
            n_snippets += result
    n_made = len(sources) - len(failed)
    print(f"{count(n_made, 'recording')}, {count(n_snippets, 'snippet')}{where}")
    return failed
