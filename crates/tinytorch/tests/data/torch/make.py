"""Files as torch.save writes them, for the tests of the reader. Writes beside itself; needs PyTorch."""
import os
from collections import OrderedDict

import torch

HERE = os.path.dirname(os.path.abspath(__file__))


def save(name, what):
    torch.save(what, os.path.join(HERE, name))


ramp = (torch.arange(6, dtype=torch.float32) / 4 - 0.5).reshape(2, 3)
plain = OrderedDict(
    f32=ramp,
    f64=ramp.double(),
    f16=ramp.half(),
    bf16=ramp.bfloat16(),
    i64=torch.tensor([-3, 1 << 40]),
    i32=torch.tensor([-3, 70_000], dtype=torch.int32),
    i16=torch.tensor([-3, 300], dtype=torch.int16),
    i8=torch.tensor([-3, 7], dtype=torch.int8),
    u8=torch.tensor([3, 200], dtype=torch.uint8),
    flag=torch.tensor([True, False]),
    row=ramp[1],
    parameter=torch.nn.Parameter(ramp.clone()),
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 4),
)
save("plain.pt", plain)

model = torch.nn.Linear(3, 2)
with torch.no_grad():
    model.weight.copy_(ramp)
    model.bias.copy_(torch.tensor([0.25, -0.5]))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
state = {"epoch": 3, "loss": 0.5, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}
save("checkpoint.pt", state)
save("strided.pt", {"turned": ramp.T})
save("whole_model.pt", model)


def llama():
    """The Llama of ../published/reference.py, by the names of Hugging Face's Llama."""
    weights = OrderedDict()

    def add(name, *shape, scale=0.3, plus=0.0):
        i = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
        values = plus + scale * torch.sin(1 + 31 * len(weights) + 1.7 * i)
        weights[name] = values.float().reshape(shape)

    add("model.embed_tokens.weight", 48, 32, scale=1.0)
    for layer in range(2):
        for name, rows, columns in [
            ("self_attn.q_proj", 32, 32),
            ("self_attn.k_proj", 16, 32),
            ("self_attn.v_proj", 16, 32),
            ("self_attn.o_proj", 32, 32),
            ("mlp.gate_proj", 64, 32),
            ("mlp.up_proj", 64, 32),
            ("mlp.down_proj", 32, 64),
        ]:
            add(f"model.layers.{layer}.{name}.weight", rows, columns)
        add(f"model.layers.{layer}.input_layernorm.weight", 32, scale=0.1, plus=1.0)
        add(f"model.layers.{layer}.post_attention_layernorm.weight", 32, scale=0.1, plus=1.0)
    add("model.norm.weight", 32, scale=0.1, plus=1.0)
    add("lm_head.weight", 48, 32)
    return weights


save("llama.bin", llama())
