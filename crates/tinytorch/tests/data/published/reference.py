"""Logits and sentence vectors of small models, by the formulas of their papers in NumPy and 64-bit floats.

Writes reference.json beside itself. The weights are the same sines that the tests fill theirs with:
entry i of the tensor number t, in the order below, is scale * sin(1 + 31 t + 1.7 i).
"""
import json
import os

import numpy as np

D, H, KV, L, FF, V, C = 32, 4, 2, 2, 64, 48, 64
IDS = [(7 * i * i + 3 * i + 1) % V for i in range(40)]


class Weights:
    def __init__(self):
        self.count = 0

    def __call__(self, *shape, scale=0.3, plus=0.0):
        i = np.arange(np.prod(shape))
        w = plus + scale * np.sin(1.0 + 31.0 * self.count + 1.7 * i)
        self.count += 1
        return w.astype(np.float32).astype(np.float64).reshape(shape)


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, heads, causal, window=None):
    n, hd = len(q), q.shape[1] // heads
    split = lambda x: x.reshape(n, -1, hd)
    q, k, v = split(q), split(k), split(v)
    k, v = np.repeat(k, heads // k.shape[1], 1), np.repeat(v, heads // v.shape[1], 1)
    s = np.einsum("nhd,mhd->hnm", q, k) / np.sqrt(hd)
    if causal:
        s = np.where(np.tril(np.ones((n, n))) > 0, s, -1e30)
    return np.einsum("hnm,mhd->nhd", softmax(s), v).reshape(n, -1)


def rotate(x, inv):
    n, hd = len(x), 2 * len(inv)
    x = x.reshape(n, -1, hd)
    angle = np.outer(np.arange(n), inv)[:, None, :]
    c, s = np.cos(angle), np.sin(angle)
    a, b = x[..., : hd // 2], x[..., hd // 2 :]
    return np.concatenate([a * c - b * s, a * s + b * c], -1).reshape(n, -1)


def frequencies(base, hd):
    return base ** (-np.arange(0, hd, 2) / hd)


def linear(base, hd, factor):
    """Chen et al., 2023, position interpolation."""
    return frequencies(base, hd) / factor


def llama3(base, hd, factor, low, high, before):
    """Meta's apply_scaling of Llama 3.1, frequency by frequency."""
    new = []
    for f in frequencies(base, hd):
        wave = 2 * np.pi / f
        if wave < before / high:
            new.append(f)
        elif wave > before / low:
            new.append(f / factor)
        else:
            smooth = (before / wave - low) / (high - low)
            new.append((1 - smooth) * f / factor + smooth * f)
    return np.array(new)


def yarn(base, hd, factor, before, fast=32, slow=1, truncate=True):
    """Peng et al., 2023, with the ends of the ramp as transformers takes them."""
    dim = lambda turns: hd * np.log(before / (turns * 2 * np.pi)) / (2 * np.log(base))
    low, high = dim(fast), dim(slow)
    if truncate:
        low, high = np.floor(low), np.ceil(high)
    low, high = max(low, 0), min(high, hd - 1)
    ramp = np.clip((np.arange(hd // 2) - low) / (high - low if high > low else 0.001), 0, 1)
    f = frequencies(base, hd)
    return f / factor * ramp + f * (1 - ramp)


def rms(x, w, eps=1e-5):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def layer_norm(x, w, b, eps):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b


def gelu(x):
    from math import erf

    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def llama(inv, bias=False, head=True, length=1.0, hd=D // H, qk_norm=False):
    """Touvron et al., 2023; with biases of q, k and v as Qwen2 has them, or with heads of their own width whose
    q and k are normed before they are turned, as in Qwen3 (Yang et al., 2025)."""
    w = Weights()
    tokens = w(V, D, scale=1.0)
    x = tokens[IDS]
    for _ in range(L):
        q, k, v = w(H * hd, D), w(KV * hd, D), w(KV * hd, D)
        o, gate, up, down = w(D, H * hd), w(FF, D), w(FF, D), w(D, FF)
        n1, n2 = w(D, scale=0.1, plus=1.0), w(D, scale=0.1, plus=1.0)
        norms = [w(hd, scale=0.1, plus=1.0) for _ in range(2 * qk_norm)]
        biases = [w(D), w(KV * D // H), w(KV * D // H)] if bias else [0, 0, 0]
        h = rms(x, n1)
        q, k, v = h @ q.T + biases[0], h @ k.T + biases[1], h @ v.T + biases[2]
        if qk_norm:
            q, k = [
                rms(x.reshape(len(x), -1, hd), n).reshape(len(x), -1) for x, n in zip((q, k), norms)
            ]
        x = x + attention(length * rotate(q, inv), length * rotate(k, inv), v, H, True) @ o.T
        h = rms(x, n2)
        g = h @ gate.T
        x = x + (g / (1 + np.exp(-g)) * (h @ up.T)) @ down.T
    x = rms(x, w(D, scale=0.1, plus=1.0))
    return x @ (w(V, D) if head else tokens).T


def bert(activation=gelu, types=2, first=0, eps=1e-12):
    """Devlin et al., 2019: the vectors of the first six ids. DistilBERT (Sanh et al., 2019) has no types, the
    positions of a RoBERTa (Liu et al., 2019) count from behind the id of padding."""
    w = Weights()
    ids = IDS[:6]
    x = w(V, D, scale=1.0)[ids] + w(C, D)[first : first + len(ids)]
    if types:
        x = x + w(types, D)[0]
    norm = lambda: (w(D, scale=0.1, plus=1.0), w(D))
    x = layer_norm(x, *norm(), eps)
    for _ in range(L):
        linear = lambda o, i: (w(o, i), w(o))
        (q, bq), (k, bk), (v, bv), (o, bo) = [linear(D, D) for _ in range(4)]
        n1 = norm()
        (up, bu), (down, bd) = linear(FF, D), linear(D, FF)
        n2 = norm()
        a = attention(x @ q.T + bq, x @ k.T + bk, x @ v.T + bv, H, False)
        x = layer_norm(x + a @ o.T + bo, *n1, eps)
        x = layer_norm(x + activation(x @ up.T + bu) @ down.T + bd, *n2, eps)
    return x


def gpt2(activation, eps=1e-5):
    """Radford et al., 2019. Its linear layers are one-dimensional convolutions, y = x W + b."""
    w = Weights()
    tokens = w(V, D, scale=1.0)
    x = tokens[IDS] + w(C, D)[: len(IDS)]
    norm = lambda: (w(D, scale=0.1, plus=1.0), w(D))
    layer = lambda i, o: (w(i, o), w(o))
    for _ in range(L):
        n1, (qkv, bqkv), (o, bo) = norm(), layer(D, 3 * D), layer(D, D)
        n2, (up, bu), (down, bd) = norm(), layer(D, FF), layer(FF, D)
        q, k, v = np.split(layer_norm(x, *n1, eps) @ qkv + bqkv, 3, -1)
        x = x + attention(q, k, v, H, True) @ o + bo
        x = x + activation(layer_norm(x, *n2, eps) @ up + bu) @ down + bd
    return layer_norm(x, *norm(), eps) @ tokens.T


hd = D // H
vectors = bert()
reference = {
    "llama_10k": llama(frequencies(1e4, hd))[-1],
    "llama_500k": llama(frequencies(5e5, hd))[-1],
    "llama_tied": llama(frequencies(1e4, hd), head=False)[-1],
    "llama_linear": llama(linear(1e4, hd, 2))[-1],
    "llama_llama3": llama(llama3(5e5, hd, 8, 1, 4, 16))[-1],
    "llama_yarn": llama(yarn(1e4, hd, 4, 16), length=0.1 * np.log(4) + 1)[-1],
    "llama_yarn_own": llama(yarn(1e4, hd, 2, C, 4, 0.5, False), length=1.2)[-1],
    "qwen2": llama(frequencies(1e4, hd), bias=True, head=False)[-1],
    "qwen3": llama(frequencies(1e6, 12), head=False, hd=12, qk_norm=True)[-1],
    "gpt2": gpt2(gelu_tanh)[-1],
    "gpt2_relu": gpt2(lambda x: np.maximum(x, 0), 1e-3)[-1],
    "distilbert_mean": bert(types=0).mean(0),
    "roberta_mean": bert(types=1, first=3, eps=1e-5).mean(0),
    "bert_mean": vectors.mean(0),
    "bert_cls": vectors[0],
    "bert_lasttoken": vectors[-1],
    "bert_max": vectors.max(0),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference.json")
with open(path, "w") as file:
    rows = [f'"{k}": [{", ".join("%.9g" % x for x in v)}]' for k, v in reference.items()]
    file.write("{\n" + ",\n".join(rows) + "\n}\n")
