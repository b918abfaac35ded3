"""
Quick start
===========

Tell a model which actions occur in each video, and it finds when they happen.
"""

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.plotting import LocalizationDisplay

# %%
# A video is an array with a row for each snippet and a column for each feature. Videos may differ
# in length. These videos are made up, with a snippet every 1.28 seconds.

X, y = make_untrimmed(n_videos=120, n_classes=3, snippet_seconds=1.28, random_state=0)
X_train, X_test, y_test = X[:60], X[60:], y[60:]
print("First videos:", *(video.shape for video in X[:3]))

# %%
# Training is told which actions a video shows, but never when.

labels = [set(intervals["label"].tolist()) for intervals in y[:60]]
print("First labels:", *labels[:3])

# %%
# The defaults need no tuning. All there is to say is how many seconds a snippet is.

model = DGAMLocalizer(snippet_seconds=1.28, random_state=0)
model.fit(X_train, labels)

# %%
# ``predict`` finds the intervals of videos that training has not seen, an array for each video;
# ``predict_frame`` makes one table of them. Times are in seconds. The best of the first video:

detections = model.predict_frame(X_test)
first = detections[detections["video"] == 0].sort_values("score", ascending=False)
print(first.head().round(2).to_string(index=False))

# %%
# These are the true intervals of this video:

print(*(f"{start:.2f} to {end:.2f} s: {label}" for start, end, label in y_test[0]), sep="\n")

# %%
# Mean average precision (mAP) tells how well correct detections are ranked before the others. A
# detection is correct if its tIoU with a true interval is at least 0.5: the time that both share,
# divided by the time that they cover together.

print(f"mAP at tIoU 0.5: {model.score(X_test, y_test):.2f}")

# %%
# The picture shows three test videos. Each class has a lane: the truth is at the top, detections
# are below it, and the class activation (T-CAM) is beneath. Attention, at the bottom, tells how
# much each snippet belongs to any action.

display = LocalizationDisplay.from_estimator(model, X_test, y_test, videos=[0, 1, 2])
