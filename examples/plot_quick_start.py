"""
Quick start
===========

Tell a model which actions occur in each video, and it finds when they happen.
"""

from skdgam import DGAMLocalizer
from skdgam.datasets import make_untrimmed
from skdgam.plotting import LocalizationDisplay

# %%
# A video is an array: a row for each snippet, a column for each feature. Lengths may differ. These
# videos are made up.

X, y = make_untrimmed(n_videos=120, n_classes=3, random_state=0)
X_train, X_test, y_test = X[:60], X[60:], y[60:]
print("First videos:", *(video.shape for video in X[:3]))

# %%
# All that training is told is which actions a video shows, never when.

labels = [set(intervals["label"].tolist()) for intervals in y[:60]]
print("First labels:", *labels[:3])

# %%
# The defaults are for larger data. For so few short videos a third of the epochs will do, and 100
# snippets of each video in an epoch.

model = DGAMLocalizer(max_epochs=100, warmup_epochs=20, n_snippets=100, random_state=0)
model.fit(X_train, labels)

# %%
# ``predict`` finds the intervals of videos that training has not seen, an array for each video;
# ``predict_frame`` makes one table of them. Times are in seconds. The best of the first video:

detections = model.predict_frame(X_test)
first = detections[detections["video"] == 0].sort_values("score", ascending=False)
print(first.head().round(2).to_string(index=False))

# %%
# What is true in this video is known here:

print(*(f"{start:.2f} to {end:.2f} s: {label}" for start, end, label in y_test[0]), sep="\n")

# %%
# There are many more detections, of low score. How well true intervals are ranked before others is
# what mean average precision says. A detection is right if its tIoU with a true interval, the time
# that they share relative to the time that they cover together, is 0.5 or more.

print(f"mAP at tIoU 0.5: {model.score(X_test, y_test):.2f}")

# %%
# Three test videos. Each class has a lane, with the truth above, detections below it, and the class
# activation (T-CAM) beneath. Attention, at the bottom, says how much each snippet is part of any
# action. Of video 2, the only action 0 is missed.

display = LocalizationDisplay.from_estimator(model, X_test, y_test, videos=[0, 1, 2])
