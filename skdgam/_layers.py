"""The networks of several models on snippets as columns, and the way back through them.

Weights, and what they make of snippets, have a leading axis (n_models,). `work` are all weights
of DGAM, by their names there, in the dtype of products.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from skdgam._batches import Chunk

Tensors = dict[str, Tensor]
Layer = tuple[Tensor, Tensor]  # weight and bias


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Products of a (n_models, m, k) with b (n_models, k, n), or with one b (k, n) for all models.

    `bias` (n_models, m) is added to columns.
    """
    if b.dim() == 2:
        rows = a.flatten(0, 1)
        out = rows @ b if bias is None else torch.addmm(bias.flatten()[:, None], rows, b)
        return out.unflatten(0, a.shape[:2])
    if a.device.type != "cpu":
        return a @ b if bias is None else torch.baddbmm(bias[..., None], a, b)
    # One by one, for on CPUs the batched product in bfloat16 is several times slower.
    out = a.new_empty(len(a), a.shape[1], b.shape[2])
    for k in range(len(a)):
        if bias is None:
            torch.mm(a[k], b[k], out=out[k])
        else:
            torch.addmm(bias[k][:, None], a[k], b[k], out=out[k])
    return out


def relu_backward(gradient: Tensor, activated: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(gradient, activated, 0)


def row_sums(values: Tensor) -> Tensor:
    """Sum over dimensions of snippets, (n_models, n_rows), in float32."""
    return values.sum(dim=1, dtype=torch.float32)


def squared_norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1).float().square()


class FirstLayers:
    """What several layers (weight, bias) do with snippets, in one product if all see the same.

    Parameters
    ----------
    of_heads, of_cvae : sequence of (weight, bias)
        Layers on what the heads are given, and on the features.
    together : bool
        Whether these are the same.
    """

    def __init__(self, of_heads: Sequence[Layer], of_cvae: Sequence[Layer], together: bool):
        groups = [[*of_heads, *of_cvae]] if together else [of_heads, of_cvae]
        self._groups = [
            (*(torch.cat(parts, dim=1) for parts in zip(*layers, strict=True)), sizes)
            for layers in groups
            if (sizes := [weight.shape[1] for weight, _ in layers])
        ]

    def __call__(self, chunk: Chunk) -> list[Tensor]:
        given = zip(self._groups, (chunk.seen, chunk.features), strict=False)
        return [
            part
            for (weight, bias, sizes), x in given
            for part in product(weight, x.T, bias).split(sizes, dim=1)
        ]


def shares_hidden_layer(weights: Tensors) -> bool:
    """Tell whether both heads are on one hidden layer, which looks at several snippets."""
    n_features = weights["decoder.third.weight"].shape[1]
    return weights["attention_head.0.weight"].shape[2] != n_features


class AttentionHead:
    """The attention head."""

    def __init__(self, work: Tensors):
        self.first = work["attention_head.0.weight"], work["attention_head.0.bias"]
        self.second, self._second_bias = (
            work["attention_head.2.weight"],
            work["attention_head.2.bias"],
        )

    def __call__(self, first: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Hidden layer, and attention (n_models, 1, n_rows), from the first one without ReLU.

        `keep` are factors of dropout for the hidden layer.
        """
        hidden = first.relu_()
        if keep is not None:
            hidden = hidden.mul_(keep)
        return hidden, product(self.second, hidden, self._second_bias).float().sigmoid()


class Perceptron:
    """A ConditionalMLP but for its last layer, and the way back through it."""

    def __init__(self, work: Tensors, part: str):
        weight = work[f"{part}.first.weight"]
        self.first = weight[..., :-1].contiguous(), work[f"{part}.first.bias"]
        self.on_attention = weight[..., -1:]
        self._second = work[f"{part}.second.weight"], work[f"{part}.second.bias"]
        self._part = part

    def on_input(self, x: Tensor) -> Tensor:
        """First layer, without attention and ReLU."""
        return product(self.first[0], x, self.first[1])

    def forward(self, on_input: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """Both hidden layers."""
        first = on_input.addcmul_(self.on_attention, attention).relu_()
        return first, product(self._second[0], first, self._second[1]).relu_()

    def backward(self, gradient: Tensor, hidden: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Gradients of both hidden layers before their ReLU, from that of the second one."""
        second = relu_backward(gradient, hidden[1])
        return relu_backward(product(self._second[0].mT, second), hidden[0]), second

    def sums(
        self, gradients: tuple[Tensor, Tensor], hidden: tuple[Tensor, Tensor], attention: Tensor
    ) -> Tensors:
        """Gradients of all weights but those on the input."""
        first, second = gradients
        return {
            f"{self._part}.first.attention": product(first, attention.mT),
            f"{self._part}.first.bias": first.sum(dim=-1),
            f"{self._part}.second.weight": product(second, hidden[0].mT),
            f"{self._part}.second.bias": second.sum(dim=-1),
        }


class Reconstruction:
    r"""Squared error of decoded features: Eq. 12, and the first term of Eq. 10.

    What is decoded, :math:`W h + b`, is as wide as the features, and never built:
    :math:`\|x - W h - b\|^2 = \|x - b\|^2 + h^T (W^T W h - 2 W^T (x - b))`. In bfloat16 the value,
    not its gradient, loses its digits where the mean of features is far above their spread.
    """

    def __init__(self, weights: Tensors, dtype: torch.dtype):
        self._weight, self._bias = weights["decoder.third.weight"], weights["decoder.third.bias"]
        self._offset = -(self._weight.mT @ self._bias[..., None])[..., 0]
        self._gram = self._weight.mT @ self._weight
        self._work_gram = self._gram.to(dtype)
        self.first = self._weight.mT.to(dtype), self._offset.to(dtype)
        self.of_bias = (
            self._bias[:, None].to(dtype),
            self._bias.new_zeros(len(self._bias), 1, dtype=dtype),
        )
        self.squared_bias = self._bias.square().sum(dim=-1, keepdim=True)

    def error(self, hidden: Tensor, projected: Tensor) -> Tensor:
        """Half the gradient of the squared error of each snippet by `hidden`."""
        return product(self._work_gram, hidden).sub_(projected)

    def gradients(
        self,
        cross: Tensor,
        features: Tensor,
        gram: Tensor,
        hidden: Tensor,
        squared: Tensor,
        share: Tensor,
    ) -> tuple[Tensors, Tensor]:
        r"""Gradients of W and b, and the loss, from sums over snippets with their shares.

        :math:`\sum h x^T, \sum x, \sum h h^T, \sum h, \sum \|x\|^2` and :math:`\sum 1`.
        """
        weight, bias = self._weight, self._bias
        of_weight = weight @ gram + bias[..., None] * hidden[:, None] - cross.mT
        of_bias = (weight @ hidden[..., None])[..., 0] + share * bias - features
        loss = (
            squared
            + share * self.squared_bias[:, 0]
            - 2 * (bias * features).sum(dim=-1)
            + (self._gram * gram).sum(dim=(1, 2))
            - 2 * (weight.mT * cross).sum(dim=(1, 2))
            - 2 * (self._offset * hidden).sum(dim=-1)
        )
        return {"decoder.third.weight": 2 * of_weight, "decoder.third.bias": 2 * of_bias}, loss
