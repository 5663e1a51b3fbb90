"""What can be checked only where there is a CUDA device: ``nox -s gpu``, or ``python -m tests.gpu`` without nox."""
