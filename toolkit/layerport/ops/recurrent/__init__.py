"""Recurrent operators: ONNX's RNN, GRU and LSTM, trained through time."""

from __future__ import annotations

from layerport.ops.recurrent.operators import (
    GRU,
    LSTM,
    RNN,
    GRUGrad,
    LSTMGrad,
    Recurrent,
    RecurrentGrad,
    RecurrentWeightGrad,
    RNNGrad,
    TracedGRU,
    TracedLSTM,
    TracedRNN,
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUGrad",
    "LSTMGrad",
    "RNNGrad",
    "Recurrent",
    "RecurrentGrad",
    "RecurrentWeightGrad",
    "TracedGRU",
    "TracedLSTM",
    "TracedRNN",
]
