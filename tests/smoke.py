"""What a bare installation must do, with no extra: `make test-oldest` runs it."""

import subprocess
import sys
import tempfile
from pathlib import Path

import joblib

import skdgam
from skdgam.datasets import make_untrimmed


def main():
    X, y = make_untrimmed(n_videos=24, n_classes=2, random_state=0)
    model = skdgam.DGAMLocalizer(max_epochs=20, random_state=0).fit(X, y)
    assert 0 < model.score(X, y) <= 1
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, Path(folder, "model.joblib"))
        opened = joblib.load(Path(folder, "model.joblib"))
    assert all((a == b).all() for a, b in zip(opened.predict(X), model.predict(X), strict=True))
    assert Path(skdgam.__file__).with_name("py.typed").exists()
    assert Path(skdgam.__file__).with_name("report.html").exists()
    print(subprocess.check_output([sys.executable, "-m", "skdgam", "--version"], text=True).strip())


if __name__ == "__main__":
    main()
