"""Where Keras's configs differ from the fields of our layers: facts, class by class.

What is not listed needs no entry: a config key that is a field of the layer is that field.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


def _none() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Rule:
    """What is special about one class.

    Attributes
    ----------
    keras2_names : field -> the key that Keras 2 uses for it.
    early_defaults : field -> its value where a config of Keras before 2.3 leaves it out.
    neutral : key -> the value with which an argument that our layer lacks does nothing.
    irrelevant : keys of arguments that do not change what the layer computes.
    keras3_only : arguments that Keras 2 does not have -> the values that mean the same.
    keras3_lacks : arguments that Keras 3 refuses.
    numbers : arguments that Keras takes as numbers, never as tuples of one.
    extra_weights : names of weights that Keras has and our layer lacks: zeros of int32 scalars.
    input_dtype : of the input that a Sequential makes for it, where it is not the layer's.
    """

    keras2_names: Mapping[str, str] = dataclasses.field(default_factory=_none)
    early_defaults: Mapping[str, Any] = dataclasses.field(default_factory=_none)
    neutral: Mapping[str, Any] = dataclasses.field(default_factory=_none)
    irrelevant: frozenset[str] = frozenset()
    keras3_only: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=_none)
    keras3_lacks: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    extra_weights: tuple[str, ...] = ()
    input_dtype: str | None = None


_BIASED_RECURRENT: Mapping[str, Any] = {"recurrent_activation": "hard_sigmoid"}
_HEADS = frozenset({"query_shape", "key_shape", "value_shape", "flash_attention"})

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "LeakyReLU": Rule(keras2_names={"negative_slope": "alpha"}),
        "BatchNormalization": Rule(
            irrelevant=frozenset({"synchronized", "renorm_clipping", "renorm_momentum", "fused"})
        ),
        "LayerNormalization": Rule(keras3_only={"rms_scaling": (False,)}),
        "LSTM": Rule(early_defaults=_BIASED_RECURRENT),
        "GRU": Rule(early_defaults={**_BIASED_RECURRENT, "reset_after": False}),
        "MultiHeadAttention": Rule(
            irrelevant=_HEADS,
            keras3_only={
                "seed": (None,), "use_gate": (False,), "sliding_window": (None,),
                "flash_attention": (None,),
            },
        ),
        "Attention": Rule(keras3_only={"seed": (None,)}),
        "AdditiveAttention": Rule(keras3_only={"seed": (None,)}),
        "ZeroPadding1D": Rule(keras3_only={"data_format": (None, "channels_last")}),
        "UpSampling1D": Rule(numbers=frozenset({"size"})),
        "SpatialDropout1D": Rule(keras3_lacks=frozenset({"trainable"})),
        "SpatialDropout2D": Rule(keras3_lacks=frozenset({"trainable"})),
        "SpatialDropout3D": Rule(keras3_lacks=frozenset({"trainable"})),
        "Normalization": Rule(extra_weights=("count",)),
        "Embedding": Rule(input_dtype="int32"),
    }
)  # fmt: skip

NO_RULE = Rule()

IRRELEVANT = frozenset(
    {
        "batch_input_shape", "batch_shape", "batch_size", "input_shape", "input_length",
        "build_config", "build_input_shape", "autocast", "seed", "unroll", "implementation",
        "use_cudnn", "unit_forget_bias", "experimental_run_tf_function", "input_dtype",
    }
)  # fmt: skip
"""Keys that change nothing of what any layer computes."""

NEUTRAL: Mapping[str, Any] = MappingProxyType(
    {
        "groups": 1, "depth_multiplier": 1, "data_format": "channels_last", "dropout": 0.0,
        "recurrent_dropout": 0.0, "l1": 0.0, "l2": 0.0, "interpolation": "nearest",
    }
)  # fmt: skip
"""Values with which an argument that our layer lacks does nothing, whatever the layer."""

TRAINING_SUFFIXES = ("_constraint", "_regularizer")
"""Ends of the names of arguments that matter while training only."""

LAYER_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "BatchNormalizationV1": "BatchNormalization",
        "BatchNormalizationV2": "BatchNormalization",
        "SyncBatchNormalization": "BatchNormalization",
    }
)
"""Classes of older versions of TensorFlow -> the class that computes the same."""

ACTIVATION_ALIASES: Mapping[str, str] = MappingProxyType(
    {"swish": "silu", "hard_swish": "hard_silu", "log_softmax_v2": "log_softmax"}
)
"""Other names that configs use for activations -> the usual one."""

KERAS2_ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        **{
            name: name
            for name in (
                "elu", "exponential", "gelu", "linear", "relu", "selu", "sigmoid", "softmax",
                "softplus", "softsign", "tanh",
            )
        },
        "silu": "swish", "swish": "swish", "hard_sigmoid_keras2": "hard_sigmoid",
    }
)  # fmt: skip
"""Our names of the activations that every Keras 2 (TF2) knows -> the name it uses."""

KERAS3_ACTIVATIONS = frozenset(
    {
        "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
        "hard_swish", "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish",
        "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus",
        "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh",
        "tanh_shrink", "threshold",
    }
)  # fmt: skip
"""The activations that Keras 3 knows, by the names that are ours, too."""

KERAS_OBJECTS = frozenset(
    {
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "L1",
        "L1L2", "L2", "LecunNormal", "LecunUniform", "Ones", "Orthogonal",
        "OrthogonalRegularizer", "RandomNormal", "RandomUniform", "TruncatedNormal",
        "VarianceScaling", "Zeros",
    }
)  # fmt: skip
"""The initializers and regularizers that Keras has, by the names of their classes."""

KERAS2_LAYERS = frozenset(
    {
        "Activation", "ActivityRegularization", "Add", "AdditiveAttention", "AlphaDropout",
        "Attention", "Average", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
        "BatchNormalization", "Bidirectional", "CategoryEncoding", "CenterCrop", "Concatenate",
        "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose",
        "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Cropping1D", "Cropping2D", "Cropping3D",
        "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Discretization", "Dot", "Dropout", "ELU",
        "EinsumDense", "Embedding", "Flatten", "GRU", "GaussianDropout", "GaussianNoise",
        "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
        "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNormalization",
        "Hashing", "InputLayer", "LSTM", "LayerNormalization", "LeakyReLU", "Masking",
        "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum",
        "MultiHeadAttention", "Multiply", "Normalization", "PReLU", "Permute", "RNN", "ReLU",
        "RepeatVector", "Rescaling", "Reshape", "Resizing", "SeparableConv1D", "SeparableConv2D",
        "SimpleRNN", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
        "Subtract", "ThresholdedReLU", "TimeDistributed", "UnitNormalization", "UpSampling1D",
        "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
    }
)  # fmt: skip
"""The layers that Keras 2 has (2.12)."""

KERAS3_ONLY_LAYERS = frozenset(
    {"AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D",
     "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D",
     "GroupedQueryAttention", "GroupQueryAttention", "Identity", "RMSNormalization"}
)  # fmt: skip
"""Layers that Keras 3 has and Keras 2 (2.12) lacks."""

KERAS2_ONLY_LAYERS = frozenset({"ThresholdedReLU"})
"""Layers that Keras 3 no longer has."""


def rule_of(class_name: str) -> Rule:
    """What is special about a class."""
    return RULES.get(class_name, NO_RULE)
