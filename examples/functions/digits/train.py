"""Trains the weights of the example: `python -m examples.functions.digits.train weights.h`.

scikit-learn's handwritten digits (8 x 8 pixels, 0 to 16), every fifth one kept back for testing;
one hidden layer of 24. The same data and seed give the same weights on one machine; `weights.h` is
committed, so that nobody must train to run the example.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

HIDDEN = 24


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images and labels to learn from, then those kept back."""
    found = load_digits()
    images, labels = found.data.astype(np.float32), found.target
    kept = np.arange(len(labels)) % 5 == 0
    return images[~kept], labels[~kept], images[kept], labels[kept]


def main() -> None:
    """Train and write."""
    images, labels, test, truth = data()
    model = MLPClassifier((HIDDEN,), alpha=1e-3, max_iter=700, random_state=7)
    model.fit(images / 16, labels)
    print(f"{model.score(test / 16, truth):.4f} of {len(truth)} images that it never saw")
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    lines = ["/* Made by train.py: one hidden layer, trained on scikit-learn's digits. */"]
    for name, values in (("w1", w1.T), ("b1", b1), ("w2", w2.T), ("b2", b2)):
        size = "".join(f"[{n}]" for n in values.shape)
        rows = np.atleast_2d(values)
        lines.append(f"static const float {name}{size} = {{")
        for row in rows:
            text = ", ".join(f"{number:.3e}f" for number in row)
            lines.append(f"\t{{{text}}}," if values.ndim == 2 else f"\t{text},")
        lines.append("};")
    Path(sys.argv[1]).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
