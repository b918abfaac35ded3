"""
Quick start
===========

Train on labels of whole recordings, and find when actions start and end.
"""

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.plotting import LocalizationDisplay, PrecisionRecallDisplay, TrainingDisplay

# %%
# A video is an array of snippets × features, and lengths differ. These are made up: beside each
# action lies its *context*, which carries evidence of the same class, and is easily taken for it.

X, y = make_untrimmed(n_videos=120, n_classes=3, random_state=1)
X_train, y_train, X_test, y_test = X[:80], y[:80], X[80:], y[80:]
X[0].shape, X[1].shape

# %%
# All that training is told: which actions a video shows.

labels = [set(video["label"].tolist()) for video in y_train]
labels[:3]

# %%

model = DGAMLocalizer(max_epochs=100, warmup_epochs=20, random_state=0).fit(X_train, labels)
TrainingDisplay.from_estimator(model)

# %%
# Each detection has a start and an end in seconds, a label, and a score: the higher, the surer.

detections = model.predict(X_test)
detections[0]

# %%
# Where intervals are known, here from how the videos were made, mean average precision says how
# good the detections are.

print(f"mAP at tIoU 0.5: {model.score(X_test, y_test):.2f}")
PrecisionRecallDisplay.from_predictions(y_test, detections)

# %%
# Three videos: true intervals above detections, darker for a higher score, and attention below.

LocalizationDisplay.from_estimator(model, X_test, y_test, videos=[0, 1, 2])
