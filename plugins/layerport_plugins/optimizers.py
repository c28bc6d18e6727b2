"""The optimizers: update rules in NumPy. Names, arguments and defaults are Keras's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from layerport.errors import LayerportError
from layerport.train.optimizer import Optimizer, Slots, unbias
from layerport.train.schedule import Schedule


def _check_shares(optimizer: Optimizer, *names: str) -> None:
    for name in names:
        value = getattr(optimizer, name)
        if not 0 <= value < 1:
            raise LayerportError(f"{name} must be at least 0 and below 1, not {value!r}")


class SGD(Optimizer):
    """Gradient descent, with momentum where `momentum` is above 0.

    Parameters
    ----------
    momentum : the share of the last change that a step repeats.
    nesterov : look ahead: the gradient is applied after the momentum.

    References
    ----------
    Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """

    name = "sgd"

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def validate(self) -> None:
        super().validate()
        _check_shares(self, "momentum")

    def slots(self) -> Mapping[str, float]:
        return {"momentum": 0.0} if self.momentum else {}

    def update(
        self, parameter: Any, gradient: Any, slots: Slots, learning_rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        change = gradient * -learning_rate
        if not self.momentum:
            return parameter + change, {}
        momentum = slots["momentum"] * self.momentum + change
        if self.nesterov:
            return parameter + (momentum * self.momentum + change), {"momentum": momentum}
        return parameter + momentum, {"momentum": momentum}


class Adam(Optimizer):
    """Steps scaled by running averages of the gradient and of its square.

    Parameters
    ----------
    beta_1, beta_2 : how slowly the two averages forget.
    epsilon : keeps divisors from being 0.
    amsgrad : divide by the largest average square so far.

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization, 2014 (the form before section 2.1).
    Reddi et al., On the convergence of Adam and beyond, 2018 (AMSGrad).
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False

    def validate(self) -> None:
        super().validate()
        _check_shares(self, "beta_1", "beta_2")

    def slots(self) -> Mapping[str, float]:
        names = ("momentum", "velocity", *(("velocity_hat",) if self.amsgrad else ()))
        return dict.fromkeys(names, 0.0)

    def update(
        self, parameter: Any, gradient: Any, slots: Slots, learning_rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        momentum = slots["momentum"] * self.beta_1 + gradient * (1 - self.beta_1)
        velocity = slots["velocity"] * self.beta_2 + gradient * gradient * (1 - self.beta_2)
        changed = {"momentum": momentum, "velocity": velocity}
        if self.amsgrad:
            velocity = np.maximum(slots["velocity_hat"], velocity)
            changed["velocity_hat"] = velocity
        rate = learning_rate * np.sqrt(unbias(self.beta_2, step)) / unbias(self.beta_1, step)
        return parameter - momentum * rate / (np.sqrt(velocity) + self.epsilon), changed


class AdamW(Adam):
    """Adam with weight decay that does not go through the averages.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization, 2017.
    """

    name = "adamw"

    weight_decay: float | None = 0.004


class RMSprop(Optimizer):
    """Steps divided by the root of a running average of the squared gradient.

    Parameters
    ----------
    rho : how slowly the average forgets.
    momentum : the share of the last change that a step repeats.
    epsilon : keeps divisors from being 0.
    centered : divide by an estimate of the variance instead of the square.

    References
    ----------
    Hinton, Neural networks for machine learning, lecture 6, 2012. Graves, Generating sequences
    with recurrent neural networks, 2013 (centered).
    """

    name = "rmsprop"

    learning_rate: float | Schedule = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def validate(self) -> None:
        super().validate()
        _check_shares(self, "rho", "momentum")

    def slots(self) -> Mapping[str, float]:
        names = ["velocity"]
        names += ["momentum"] if self.momentum else []
        names += ["average_gradient"] if self.centered else []
        return dict.fromkeys(names, 0.0)

    def update(
        self, parameter: Any, gradient: Any, slots: Slots, learning_rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        velocity = slots["velocity"] * self.rho + gradient * gradient * (1 - self.rho)
        changed = {"velocity": velocity}
        spread = velocity
        if self.centered:
            average = slots["average_gradient"] * self.rho + gradient * (1 - self.rho)
            changed["average_gradient"] = average
            spread = velocity - average * average
        change = gradient * learning_rate / np.sqrt(spread + self.epsilon)
        if self.momentum:
            change = slots["momentum"] * self.momentum + change
            changed["momentum"] = change
        return parameter - change, changed


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients.

    Parameters
    ----------
    initial_accumulator_value : what the sum starts with.
    epsilon : keeps divisors from being 0.

    References
    ----------
    Duchi et al., Adaptive subgradient methods for online learning, 2011.
    """

    learning_rate: float | Schedule = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def validate(self) -> None:
        super().validate()
        if not (math.isfinite(self.initial_accumulator_value) and (
                self.initial_accumulator_value >= 0)):  # fmt: skip
            raise LayerportError(
                "initial_accumulator_value must be at least 0, not "
                f"{self.initial_accumulator_value!r}"
            )

    def slots(self) -> Mapping[str, float]:
        return {"accumulator": self.initial_accumulator_value}

    def update(
        self, parameter: Any, gradient: Any, slots: Slots, learning_rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        accumulator = slots["accumulator"] + gradient * gradient
        change = gradient * learning_rate / np.sqrt(accumulator + self.epsilon)
        return parameter - change, {"accumulator": accumulator}


OPTIMIZERS = (SGD, Adam, AdamW, RMSprop, Adagrad)
