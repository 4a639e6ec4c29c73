"""The networks of the cases as PyTorch modules."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from protocol import Case


def copied(layer: nn.Module, case: Case, name: str, buffers: tuple[str, ...] = ()) -> nn.Module:
    """The layer with the weights that a case has under its name."""
    for part, values in (*layer.named_parameters(recurse=False), *((b, getattr(layer, b)) for b in buffers)):
        with torch.no_grad():
            values.copy_(torch.from_numpy(case.array(f"weights/{name}.{part}")))
    return layer


def linear(case: Case, name: str) -> nn.Module:
    outputs, inputs = case.array(f"weights/{name}.weight").shape
    return copied(nn.Linear(inputs, outputs), case, name)


def layer_norm(case: Case, name: str, eps: float = 1e-5) -> nn.Module:
    return copied(nn.LayerNorm(case.array(f"weights/{name}.weight").shape, eps), case, name)


def joined(case: Case, names: list[str]) -> nn.Module:
    """Linear layers of the same input as one."""
    weight, bias = (
        torch.cat([torch.from_numpy(case.array(f"weights/{name}.{part}")) for name in names])
        for part in ("weight", "bias")
    )
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer


def split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Network(nn.Module):
    """The nodes of a case, one after the other."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.nodes: list[dict[str, Any]] = case.work["nodes"]
        self.layers = nn.ModuleList([layer(case, node) for node in self.nodes])

    def forward(self, x: Tensor) -> Tensor:
        values = {"input": x}
        for node, run in zip(self.nodes, self.layers, strict=True):
            values[node["output"]] = run(*(values[name] for name in node["inputs"]))
        return values[self.nodes[-1]["output"]]


class Function(nn.Module):
    """A layer without weights."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def layer(case: Case, node: dict[str, Any]) -> nn.Module:
    name = node.get("name", "")
    match node["op"]:
        case "linear":
            return linear(case, name)
        case "conv":
            outputs, inputs, *size = case.array(f"weights/{name}.weight").shape
            convolution = nn.Conv2d(inputs, outputs, size, node["stride"], node["padding"], bias=node["bias"])
            return copied(convolution, case, name)
        case "batch-norm":
            norm = nn.BatchNorm2d(case.array(f"weights/{name}.weight").shape[0], node["eps"])
            return copied(norm, case, name, ("running_mean", "running_var"))
        case "layer-norm":
            return layer_norm(case, name, node["eps"])
        case "normalize":
            mean, std = (torch.tensor(node[part]).reshape(-1, 1, 1) for part in ("mean", "std"))
            return Function(lambda x: (x - mean) / std)
        case "max-pool":
            return nn.MaxPool2d(node["size"])
        case "mean-of-channels":
            return Function(lambda x: x.mean((2, 3)))
        case "flatten":
            return nn.Flatten()
        case "relu":
            return nn.ReLU()
        case "gelu":
            return nn.GELU()
        case "add":
            return Function(torch.add)
        case "attention":
            heads = node["heads"]
            return Function(
                lambda *qkv: (
                    functional.scaled_dot_product_attention(*(split_heads(x, heads) for x in qkv))
                    .transpose(1, 2)
                    .flatten(2)
                )
            )
        case "pad-shortcut":
            stride, before = node["stride"], node["added"] // 2
            pads = (0, 0, 0, 0, before, node["added"] - before)
            return Function(lambda x: functional.pad(x[:, :, ::stride, ::stride], pads))
        case op:
            raise ValueError(f"no PyTorch layer for {op}")


class Block(nn.Module):
    """A block of a GPT. Queries, keys and values are one layer, as is usual in PyTorch."""

    def __init__(self, case: Case, name: str, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = joined(case, [f"{name}.attention.{part}_proj" for part in "qkv"])
        self.out = linear(case, f"{name}.attention.out_proj")
        self.norm1, self.norm2 = (layer_norm(case, f"{name}.{norm}") for norm in ("norm1", "norm2"))
        self.up, self.down = (linear(case, f"{name}.mlp.{part}") for part in ("linear1", "linear2"))

    def forward(self, x: Tensor, cache: tuple[Tensor, Tensor] | None, position: int) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        if cache is not None:
            keys, values = cache
            end = position + x.shape[1]
            keys[:, :, position:end], values[:, :, position:end] = k, v
            k, v = keys[:, :, :end], values[:, :, :end]
        # A single query sees all positions before it.
        causal = x.shape[1] > 1
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    """A GPT whose head is its token table."""

    def __init__(self, case: Case, sizes: dict[str, int]) -> None:
        super().__init__()
        self.sizes = sizes
        self.tokens, self.positions = (
            nn.Embedding.from_pretrained(torch.from_numpy(case.array(f"weights/{name}.weight")), freeze=False)
            for name in ("tokens", "positions")
        )
        names = (f"blocks.{index}" for index in range(sizes["layers"]))
        self.blocks = nn.ModuleList([Block(case, name, sizes["heads"]) for name in names])
        self.norm = layer_norm(case, "norm")
        self.head = nn.Linear(sizes["dim"], sizes["vocab"], bias=False)
        self.head.weight = self.tokens.weight

    def caches(self) -> list[tuple[Tensor, Tensor]]:
        """Room for the keys and values of a whole context."""
        heads = self.sizes["heads"]
        shape = (1, heads, self.sizes["context"], self.sizes["dim"] // heads)
        return [(torch.zeros(shape), torch.zeros(shape)) for _ in self.blocks]

    def forward(
        self, ids: Tensor, caches: list[tuple[Tensor, Tensor]] | None = None, position: int = 0
    ) -> Tensor:
        x = self.tokens(ids) + self.positions.weight[position : position + ids.shape[1]]
        for index, block in enumerate(self.blocks):
            x = block(x, caches[index] if caches else None, position)
        return self.head(self.norm(x))
