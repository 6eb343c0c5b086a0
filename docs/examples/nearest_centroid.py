"""Nearest centroid: a cell's scores are its cosine similarities to the mean of each label's training cells."""

import numpy as np
from sklearn.preprocessing import normalize

from opbench.methods.interface import Method, Output, Task, Variant


class NearestCentroid(Method):
    """The simplest classifier that uses every gene of the panel."""

    label = "nearest centroid"
    citation = "Tibshirani et al. 2002, PNAS 99:6567 (without shrinkage)"
    protocol = "inductive"
    needs_labels = True  # the labels of training cells; those of test cells are never shown

    def run(self, task: Task, variant: Variant) -> Output:
        """Average the training cells of each class, compare the test cells with the averages."""
        test, classes = normalize(task.test.log1p), task.classes

        def similarity(groups: np.ndarray, codes: list[int]) -> np.ndarray:
            scores = np.full((test.shape[0], len(codes)), -np.inf)  # a class that nobody trained on is never called
            for column, code in enumerate(codes):
                members = np.flatnonzero(groups == code)
                if len(members):
                    centroid = np.asarray(task.train.log1p[members].mean(0))
                    scores[:, column] = test @ normalize(centroid).ravel()
            return scores

        scores = {
            "stage": similarity(task.train.label, list(range(len(classes.labels)))),
            "branch": similarity(task.train.branch, list(range(len(classes.branches)))),
        }
        for name, sides in classes.binary.items():
            side = np.select([np.isin(task.train.label, list(codes)) for codes in sides], [1, 0], -1)
            if (side == 1).any() and (side == 0).any():
                difference = similarity(side, [1, 0])
                scores[name] = difference[:, 0] - difference[:, 1]
        return Output(scores=scores, parameters=len(classes.labels) * test.shape[1])
