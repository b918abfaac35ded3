"""What the commands of the command line do, but for ``evaluate``."""

import numpy as np

from skdgam._arguments import check_output, read_settings, tracked_if_possible
from skdgam._words import Refused, compare_classes, count, refuse_scores, some

__all__ = ["PICTURES", "export", "fit", "info", "plot", "predict", "report", "write_detections"]

PICTURES = (".png", ".svg", ".pdf")
AT_ONCE = 16  # videos between two updates of the bar, and of what is kept if interrupted


def fit(arguments):
    """Train a localizer on labels of whole recordings.

    Every ten epochs the training is written beside the model, as FILE.checkpoint; cut off by
    whatever, it goes on from there with --resume, to the same result.
    """
    from skdgam import MultiStreamLocalizer
    from skdgam._features import check_features
    from skdgam.formats import read_intervals, read_labels
    from skdgam.io import import_safetensors

    checkpoint = _checkpoint(arguments)
    import_safetensors()  # its absence is better known before all the work
    labels = read_labels(arguments.labels, arguments.subset, background=arguments.background)
    if not labels:
        raise Refused(f"{arguments.labels} has no labels of any video.")
    X = _features(arguments.features)
    missing = sorted(set(labels) - set(X.names.tolist()))
    if missing:
        raise Refused(
            f"{arguments.labels} has labels of {missing[0]!r} ({len(missing)} such videos), of "
            f"which {arguments.features[0]} has no features: it has {some(X.names.tolist())}. "
            "Names must be those of the files, without their ending. If features could not be "
            "made of some, leave out their rows."
        )
    if len(labels) < len(X):
        n_left = len(X) - len(labels)
        print(f"Left out: {n_left} of {count(len(X), 'video')}, without labels.")
    X = _without_empty(arguments, X[np.isin(X.names, list(labels))])
    localizers = _localizers(arguments)
    model, *others = localizers
    if others:
        names = [path.stem for path in arguments.features]
        model = MultiStreamLocalizer([*zip(names, localizers, X.columns(), strict=True)])
    X = check_features(X)  # once, before anything is said to begin
    y = [{*labels[name]} for name in X.names.tolist()]  # sets, which claim no counts
    classes = set().union(*y)
    if localizers[0].learns_from_intervals:
        try:
            intervals = read_intervals(arguments.labels, arguments.subset)
        except ValueError as error:
            raise Refused(
                f"--method {arguments.method[0]} learns from intervals, not from labels: {error}"
            ) from error
        y = [intervals[name] for name in X.names.tolist()]
    print(
        f"Training on {count(len(X), 'video')} of {count(len(classes), 'class')} "
        f"({some(classes)}): {count(int(X.lengths.sum()), 'snippet')} of {X.n_features} features, "
        f"{X.lengths.min()} to {X.lengths.max()} a video."
    )
    print(_snippet(localizers[0]._clock_of(X.about)))
    _train(arguments, model, X, y, checkpoint)
    print(f"Saved {arguments.output}.")


def _train(arguments, model, X, y, checkpoint):
    """Train a model and save it, or as much of it as there is when it is cut off."""
    try:
        model.fit(X, y, checkpoint)
    except FloatingPointError:
        for path in _checkpoints(arguments, checkpoint):
            path.unlink()  # to go on would end in the same
        raise
    except KeyboardInterrupt as interruption:
        if not hasattr(model, "weights_"):
            if not _checkpoints(arguments, checkpoint):
                raise
            reason = "--resume goes on from the last checkpoint"
            raise KeyboardInterrupt(reason) from interruption
        model.save(arguments.output)
        raise KeyboardInterrupt(
            f"{arguments.output} is the model after {model.n_epochs_} epochs; --resume goes on "
            "from the last checkpoint"
        ) from interruption
    model.save(arguments.output)
    for path in _checkpoints(arguments, checkpoint):
        path.unlink()


def _localizers(arguments):
    """A localizer for each stream, with its preset and parameters."""
    from skdgam.methods import METHODS

    name, *others = arguments.method or METHODS
    if arguments.method and others:
        raise Refused("--method is given more than once; all streams have the same.")
    method = METHODS.get(name)
    if method is None:
        raise Refused(f"--method is {name!r}; there are {', '.join(METHODS)}.")
    n_streams, chosen = len(arguments.features), arguments.preset
    unknown = [name for name in chosen if name not in method.presets]
    if unknown:
        there = f"there are {', '.join(method.presets)}" if method.presets else "there are none"
        raise Refused(f"--preset is {unknown[0]!r}; for this method, {there}.")
    if len(chosen) not in (0, 1, n_streams):
        raise Refused(f"There are {len(chosen)} presets for {n_streams} streams; give each one.")
    params = read_settings(arguments.set, method)
    presets = chosen * n_streams if len(chosen) < n_streams else chosen
    localizers = [method() for _ in range(n_streams)]
    for localizer, name in zip(localizers, presets, strict=False):
        localizer.set_params(**method.presets[name])
    for localizer in localizers:
        localizer.set_params(**params)._check_settings()
    return localizers


def _snippet(clock):
    """What a snippet is to a localizer: what all times hang on."""
    return (
        f"A snippet stands for {clock.seconds:g} s (snippet_seconds), and the first begins at "
        f"{clock.offset:g} s (snippet_offset)."
    )


def _checkpoint(arguments):
    """Where fit writes checkpoints; one that is there is gone on with, or goes."""
    from skdgam.training.checkpoints import is_checkpoint

    checkpoint = arguments.output.with_name(f"{arguments.output.name}.checkpoint")
    cut_off = _checkpoints(arguments, checkpoint)
    for path in cut_off:
        if not is_checkpoint(path):
            raise Refused(f"{path} is no checkpoint, but has the name of one; move it elsewhere.")
    if arguments.resume and cut_off:
        return checkpoint
    if arguments.resume and arguments.output.exists() and not arguments.force:
        raise Refused(
            f"{arguments.output} is there, and no training that was cut off: it is done. --force "
            "trains anew."
        )
    check_output(arguments)
    if cut_off and not arguments.force:
        raise Refused(
            f"{cut_off[0]} is of a training that was cut off; --resume goes on with it, --force "
            "begins anew."
        )
    for path in cut_off:
        path.unlink()
    return checkpoint


def _checkpoints(arguments, path):
    """Files of this training that are there: one, or one for each stream."""
    streams = arguments.features
    names = [f".{stream.stem}" for stream in streams] if len(streams) > 1 else [""]
    files = [path.with_name(path.name + name) for name in names]
    return [file for file in files if file.exists()]


def predict(arguments):
    """Find actions in recordings."""
    from skdgam import load

    check_output(arguments, (".json", ".csv", ".tsv"))
    X = _without_empty(arguments, _features(arguments.features))
    write_detections(arguments, load(arguments.model), X)


def write_detections(arguments, model, X):
    """Find actions in recordings, and keep what was found if interrupted."""
    from skdgam.formats import write_intervals

    found = {}
    try:
        firsts = range(0, len(X), AT_ONCE)
        for first in tracked_if_possible(firsts, len(firsts), "videos"):
            part = X[first : first + AT_ONCE]
            of_part = dict(zip(part.names.tolist(), model.predict(part), strict=True))
            found |= _good(arguments, of_part)
        write_intervals(arguments.output, found)
    except KeyboardInterrupt as interruption:
        write_intervals(arguments.output, found)
        reason = f"{arguments.output} has the detections of {len(found)} of {len(X)} videos"
        raise KeyboardInterrupt(reason) from interruption
    n_found = sum(map(len, found.values()))
    where = f"{count(len(found), 'video')}: {arguments.output}"
    print(f"{count(n_found, 'detection')} in {where}")


def export(arguments):
    """Write detections as subtitles (srt, vtt), or label tracks of Audacity (txt) or ELAN (tsv)."""
    from skdgam.formats import read_intervals, write_track

    found = _good(arguments, read_intervals(arguments.detections))
    paths = {name: arguments.output / f"{name}.{arguments.format}" for name in found}
    for name, path in paths.items():
        if path.resolve().parent != arguments.output.resolve():
            raise Refused(f"A video has the name {name!r}, which is none for a file.")
        if path.exists() and not arguments.force:
            raise Refused(f"{path} is there already; --force replaces it.")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, intervals in found.items():
        write_track(paths[name], intervals)
    print(f"{count(len(found), 'file')} in {arguments.output}")


def plot(arguments):
    """Draw what a localizer finds in some recordings, and its attention."""
    from skdgam import load
    from skdgam.io import replacing
    from skdgam.plotting import LocalizationDisplay

    check_output(arguments, PICTURES)
    model, X = load(arguments.model), _features(arguments.features)
    names = X.names.tolist()
    unknown = sorted(set(arguments.video or []) - set(names))
    if unknown:
        raise Refused(f"There is no video {unknown[0]!r}, but {some(names)}.")
    X = X[[names.index(name) for name in arguments.video or names[:3]]]
    truth = _truth(arguments, X.names.tolist(), map(str, model.classes_.tolist()))
    y = None if truth is None else [truth.get(name, []) for name in X.names.tolist()]
    import matplotlib as mpl

    with mpl.rc_context({"backend": "agg"}):
        display = LocalizationDisplay.from_estimator(model, X, y, min_score=arguments.min_score)
        with replacing(arguments.output) as part:
            display.figure_.savefig(part, dpi=150, format=arguments.output.suffix[1:].lower())
    print(f"Drew {', '.join(X.names.tolist())}: {arguments.output}")


def _good(arguments, found):
    """The detections that have at least the score that is asked for."""
    if arguments.min_score is None:
        return found
    if any("score" not in intervals.dtype.names for intervals in found.values()):
        raise Refused(f"{arguments.detections} has no scores, which --min-score asks for.")
    return {name: d[d["score"] >= arguments.min_score] for name, d in found.items()}


def _truth(arguments, names, classes):
    """The annotations to show beside recordings of these names, if there are any."""
    from skdgam.formats import read_intervals

    if not arguments.annotations:
        return None
    truth = read_intervals(arguments.annotations)
    refuse_scores(arguments.annotations, truth.values())
    missing = [name for name in names if name not in truth]
    if len(missing) == len(names):
        raise Refused(
            f"{arguments.annotations} has none of the videos to show ({some(missing)}), but "
            f"{some(truth)}."
        )
    if missing:
        print(f"Without annotations: {some(missing)}.")
    shown = [truth[name]["label"].tolist() for name in names if name in truth]
    compare_classes(set(classes), set().union(*shown))
    return truth


def report(arguments):
    """Write one page with a timeline of every recording, to look through what was found."""
    from skdgam import load
    from skdgam.formats import read_intervals
    from skdgam.report import AUDIO, VIDEO, write_report

    check_output(arguments, (".html",))
    if (arguments.model is None) != (arguments.features is None):
        raise Refused("--model and --features go together: attention is of both.")
    found = _good(arguments, read_intervals(arguments.detections))
    attention = {}
    if arguments.model:
        model, X = load(arguments.model), _features(arguments.features)
        X = X[np.isin(X.names, list(found))]
        if not len(X):
            raise Refused(f"No video of {arguments.detections} is in {arguments.features[0]}.")
        for name, values in zip(X.names.tolist(), model.attention(X), strict=True):
            attention[name] = model.clock.edges(len(values)), values
    media = {}
    if arguments.media:
        paths = sorted(arguments.media.iterdir())
        # Of a recording's sound and its video, the video is shown.
        media = {path.stem: path for path in paths if path.suffix.lower() in AUDIO}
        media |= {path.stem: path for path in paths if path.suffix.lower() in VIDEO}
        silent = [name for name in found if name not in media]
        others = [path.name for path in paths if path.stem in silent]
        if others:
            print(
                f"No browser plays {some(others)}, but files that end in "
                f"{', '.join(VIDEO + AUDIO)}; ffmpeg makes them of others."
            )
        silent = [name for name in silent if name not in {path.stem for path in paths}]
        if silent:
            print(f"Without a video or sound in {arguments.media}: {some(silent)}.")
    write_report(
        arguments.output,
        found,
        _truth(arguments, found, np.concatenate([*found.values()])["label"].tolist()),
        attention=attention,
        media=media,
        title=arguments.title,
    )
    print(f"{count(len(found), 'recording')}: {arguments.output}")


def info(arguments):
    """Say what a model is: its classes and the parameters that are not at their defaults."""
    from skdgam import load

    model = load(arguments.model)
    print(f"{type(model).__name__} of {model.n_features_in_} features")
    classes = ", ".join(map(str, model.classes_.tolist()))
    print(f"{count(len(model.classes_), 'class')}: {classes}")
    for name, stream in getattr(model, "localizers_", {"": model}).items():
        default = type(stream)().get_params()
        title = f"stream {name}, " if name else ""
        print(f"{title}{getattr(stream, 'n_epochs_', 0)} epochs. {_snippet(stream.clock)}")
        for parameter, value in stream.get_params().items():
            if value != default[parameter]:
                print(f"  {parameter} = {value!r}")


def _features(paths):
    from skdgam.datasets import FeatureFolder

    return FeatureFolder(paths)


def _without_empty(arguments, X):
    """Recordings with a snippet, if the others are to be left out."""
    if not arguments.skip_empty:
        return X
    is_empty = np.array([not len(video) for video in X])
    if is_empty.all():
        raise Refused(f"No video of {arguments.features[0]} has a snippet.")
    if is_empty.any():
        names = some(X.names[is_empty].tolist())
        print(
            f"Left out: {is_empty.sum()} of {count(len(X), 'video')}, without a snippet ({names})."
        )
    return X[~is_empty]
