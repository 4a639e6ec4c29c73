"""Text: how it goes on, and its vectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable, Optional, Union

from tinytorch import _tinytorch
from tinytorch._progress import shown
from tinytorch._tinytorch import Encoder
from tinytorch._types import Array, Path, Progress
from tinytorch.errors import InvalidType

__all__ = ["Generated", "embed", "generate"]


@dataclass(frozen=True)
class Generated:
    """A text that a model has continued."""

    #: The prompt and what follows it.
    text: str
    #: Its tokens.
    ids: list[int]
    #: How many of them are the prompt's.
    prompt_tokens: int
    #: Why it ended: ``"steps"``, ``"end"`` or ``"context"``.
    finish: str
    #: The rate after the first token.
    tokens_per_second: float

    def __str__(self) -> str:
        return self.text


def generate(
    model: Path,
    prompt: Optional[str] = None,
    *,
    steps: int = 200,
    greedy: bool = False,
    temperature: float = 1.0,
    top_k: Optional[int] = None,
    top_p: Optional[float] = None,
    seed: int = 0,
    cache: str = "f32",
    int8: bool = False,
    tokenizer: Optional[Path] = None,
    show: Optional[Callable[[str], None]] = None,
) -> Generated:
    """Continues a text with a language model.

    Args:
        model: A language model's file or folder, float or int8.
        prompt: The text to continue; without one a text begins anew, if the tokenizer has a token for that.
        steps: Largest number of tokens.
        greedy: Always take the likeliest token; the four options that follow are then left alone.
        temperature: Divides the scores: below 1 likely tokens become likelier.
        top_k: Choose among so many of the likeliest tokens.
        top_p: Choose among the likeliest tokens that reach this probability together.
        seed: Of the choices.
        cache: How keys and values are kept from token to token: ``"f32"``, ``"int8"`` or ``"none"``.
        int8: Turn the weights into int8 first.
        tokenizer: Its file, where it does not lie beside the model.
        show: Called with each piece of the text as it comes.

    Raises:
        ValueError: No language model, no tokenizer, an empty prompt, options out of their ranges.
        FileNotFoundError: If nothing is there.

    What ``show`` raises comes out as itself and ends the text.
    """
    choices = {
        "tokenizer": tokenizer,
        "prompt": prompt,
        "steps": steps,
        "greedy": greedy,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "cache": cache,
        "int8": int8,
    }
    return Generated(*_tinytorch.generate(model, choices, show))


def embed(
    encoder: Union[Path, Encoder],
    sentences: Iterable[str],
    *,
    int8: bool = False,
    progress: Progress = None,
) -> Array:
    """Turns sentences into vectors.

    Args:
        encoder: The folder of a sentence encoder, float or int8, or an :class:`Encoder`, which has read it once for
            many calls.
        sentences: The sentences.
        int8: Turn the weights into int8 first, of an encoder that is read here.
        progress: As for :func:`quantize`.

    Returns:
        ``float32`` of shape ``[sentences, dim]``.

    Raises:
        ValueError: No sentence, or a folder that holds no sentence encoder.
        TypeError: A string where several are expected.
        FileNotFoundError: If nothing is there.
    """
    if isinstance(sentences, (str, bytes)):
        raise InvalidType("sentences are several strings; put a single one into a list")
    if not isinstance(encoder, Encoder):
        encoder = Encoder(encoder, int8)
    return encoder.embed(list(sentences), shown(progress))
