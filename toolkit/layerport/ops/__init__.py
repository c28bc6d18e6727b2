"""The tensor operators, one file a family; and functions that apply them to Tensors and arrays."""

from layerport.ops.arrange import Concat, Pad, PadGrad, Split, Tile
from layerport.ops.indexing import Gather, GatherGrad, OneHot, Slice, SliceGrad, Trilu
from layerport.ops.matmul import Gemm, MatMul
from layerport.ops.shape import (
    ConstantOfShape,
    Expand,
    Flatten,
    Identity,
    Reshape,
    Shape,
    Squeeze,
    Transpose,
    Unsqueeze,
    count,
    reshaped,
)

__all__ = [
    "Concat",
    "ConstantOfShape",
    "Expand",
    "Flatten",
    "Gather",
    "GatherGrad",
    "Gemm",
    "Identity",
    "MatMul",
    "OneHot",
    "Pad",
    "PadGrad",
    "Reshape",
    "Shape",
    "Slice",
    "SliceGrad",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "count",
    "reshaped",
]
