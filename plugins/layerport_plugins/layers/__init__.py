"""The layers, one file a family. Names, arguments, defaults and weights are those of Keras 3."""

from __future__ import annotations

from layerport.connections import InputLayer
from layerport.layer import Layer
from layerport.network import Network
from layerport.operator import Operator
from layerport.sequential import Sequential

from layerport_plugins.layers.activations import (
    ELU,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
    ThresholdedReLU,
)
from layerport_plugins.layers.attention import (
    AdditiveAttention,
    Attention,
    MultiHeadAttention,
)
from layerport_plugins.layers.convolution import (
    Conv1D,
    Conv2D,
    Conv3D,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from layerport_plugins.layers.core import Activation, Dense
from layerport_plugins.layers.embedding import Embedding, Masking
from layerport_plugins.layers.jsmind import JsMindDense
from layerport_plugins.layers.merging import (
    Add,
    Average,
    Concatenate,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
)
from layerport_plugins.layers.normalization import BatchNormalization, LayerNormalization
from layerport_plugins.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from layerport_plugins.layers.preprocessing import Normalization, Rescaling
from layerport_plugins.layers.recurrent import GRU, LSTM, SimpleRNN
from layerport_plugins.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from layerport_plugins.layers.reshaping import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Flatten,
    Permute,
    RepeatVector,
    Reshape,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from layerport_plugins.layers.resizing import UpSampling1D, UpSampling2D, UpSampling3D
from layerport_plugins.layers.transposed import (
    Conv1DTranspose,
    Conv2DTranspose,
    Conv3DTranspose,
)
from layerport_plugins.layers.wrappers import Bidirectional, TimeDistributed

LAYERS: tuple[type[Layer], ...] = (
    Activation,
    ActivityRegularization,
    Add,
    AdditiveAttention,
    AlphaDropout,
    Attention,
    Average,
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    BatchNormalization,
    Bidirectional,
    Concatenate,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Dense,
    DepthwiseConv1D,
    DepthwiseConv2D,
    Dot,
    Dropout,
    ELU,
    Embedding,
    Flatten,
    GRU,
    GaussianDropout,
    GaussianNoise,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    InputLayer,
    JsMindDense,
    LSTM,
    LayerNormalization,
    LeakyReLU,
    Masking,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
    Maximum,
    Minimum,
    MultiHeadAttention,
    Multiply,
    Network,
    Normalization,
    Operator,
    PReLU,
    Permute,
    ReLU,
    RepeatVector,
    Rescaling,
    Reshape,
    SeparableConv1D,
    SeparableConv2D,
    Sequential,
    SimpleRNN,
    Softmax,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
    Subtract,
    ThresholdedReLU,
    TimeDistributed,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
"""Every layer that comes with layerport, networks and raw operators included."""
