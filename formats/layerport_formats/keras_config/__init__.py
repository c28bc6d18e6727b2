"""Keras's model configs: JSON that says which layers a model has and how they are connected.

Shared by every format of Keras: legacy .h5, .keras archives and TensorFlow.js.
"""
