"""scikit-learn's callbacks, where they are."""

import pytest

callback = pytest.importorskip("sklearn.callback")

from skdgam import DGAMLocalizer, MultiStreamLocalizer  # noqa: E402
from skdgam.datasets import make_untrimmed  # noqa: E402


@pytest.fixture(scope="module")
def data():
    return make_untrimmed(n_videos=8, n_classes=2, n_features=(4, 4), random_state=0)


class Recorder:
    """Records the tasks it is told of, and asks to stop after some epochs."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.events = []
        self.stop_after = stop_after
        self.scores = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(X, y))
        return self.stop_after is not None and len(self.scores) >= self.stop_after


def make(**params):
    return DGAMLocalizer(max_epochs=3, latent_dim=4, random_state=0, **params)


def test_every_epoch_is_a_task(data):
    recorder = Recorder()
    make().set_callbacks(recorder).fit(*data)
    epochs = ["begin epoch", "end epoch"] * 3
    assert recorder.events == ["setup", "begin fit", *epochs, "end fit", "teardown"]


def test_callbacks_get_a_model_that_predicts(data):
    recorder = Recorder()
    model = make().set_callbacks(recorder).fit(*data)
    assert recorder.scores[-1] == model.score(*data)


def test_callbacks_hear_of_the_end_when_training_stops_early(data):
    recorder = Recorder()
    model = DGAMLocalizer(
        max_epochs=300, early_stopping=True, n_iter_no_change=1, latent_dim=4, random_state=0
    )
    model.set_callbacks(recorder).fit(*data)
    assert len(recorder.scores) == model.n_epochs_ < 300
    assert recorder.events[-3:] == ["end epoch", "end fit", "teardown"]


def test_a_callback_can_stop_the_training(data):
    recorder = Recorder(stop_after=2)
    model = make().set_callbacks(recorder).fit(*data)
    assert model.n_epochs_ == 2
    assert recorder.events[-2:] == ["end fit", "teardown"]


def test_callbacks_are_torn_down_after_an_error(data):
    recorder = Recorder()
    with pytest.raises(FloatingPointError, match="diverged"):
        make(learning_rate=1e18).set_callbacks(recorder).fit(*data)
    assert recorder.events[-1] == "teardown"


def test_streams_report_to_the_callbacks_of_the_whole(data):
    recorder = Recorder()
    streams = [("rgb", make(), slice(0, 4)), ("flow", make(), slice(4, 8))]
    model = MultiStreamLocalizer(streams)

    class Tasks(Recorder):
        def on_fit_task_end(self, estimator, context):
            self.events.append(f"end {context.task_name}")

    recorder = Tasks()
    model.set_callbacks(recorder).fit(*data)
    assert recorder.events.count("end epoch") == 6
    assert recorder.events[-1] == "teardown"


def test_the_progress_bar_of_scikit_learn_works(data, capsys):
    pytest.importorskip("rich")
    make().set_callbacks(callback.ProgressBar()).fit(*data)
    assert "DGAMLocalizer" in capsys.readouterr().out
