"""Training: what plugins build on (`Optimizer`, `Loss`, `Metric`, `Schedule`, `Callback`)."""

from layerport.train.callback import Callback, History
from layerport.train.loss import Loss
from layerport.train.metric import Metric
from layerport.train.optimizer import Optimizer
from layerport.train.schedule import Schedule

__all__ = ["Callback", "History", "Loss", "Metric", "Optimizer", "Schedule"]
