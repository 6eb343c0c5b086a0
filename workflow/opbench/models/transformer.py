"""The scGPT forward pass in plain PyTorch (Cui et al. 2024, Nat Methods 21:1470).

Post-norm encoder, ReLU, LayerNorm eps 1e-5, no positional encoding, no dropout (inference; the small models
trained here use none). Parameter names are the released ones after the rename of `Wqkv` to `in_proj_`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from opbench.io.seeds import derive_seed
from opbench.models.checkpoint import UNUSED, Checkpoint

#: The value encoder clamps its input here, as the released code does.
MAX_VALUE = 512.0

#: Fresh residual branches start this small: a post-norm stack otherwise forgets which gene a token is.
RESIDUAL_SCALE = 0.5
#: Highest of the released 51 bins.
HIGHEST_BIN = 50.0
RESIDUAL_OUTPUTS = ("out_proj.weight", "linear2.weight")

AttentionSink = Callable[[int, Tensor], None]
#: (layer, q, k, v), each (B, H, T, d / H), to the values mixed by attention, of the same shape.
Mixer = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def fused_mixer(keep: Tensor | None = None) -> Mixer:
    """The fused kernel, which never shows its attention; `keep` (B, 1, 1, T) is False at padded keys."""
    return lambda _, q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=keep)


def cellwise_mixer(lengths: Sequence[int]) -> Mixer:
    """The fused kernel on each of several cells that lie one after another in a batch of one row."""

    def mix(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cells = zip(*(part.split(list(lengths), dim=2) for part in (q, k, v)), strict=True)
        return torch.cat([F.scaled_dot_product_attention(*cell) for cell in cells], dim=2)

    return mix


def explicit_mixer(sink: AttentionSink, keep: Tensor | None = None) -> Mixer:
    """The reference: all post-softmax attention of a layer at once, (B, H, T, T), handed to `sink`."""

    def mix(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        attention = (scores if keep is None else scores.masked_fill(~keep, -torch.inf)).softmax(dim=-1)
        sink(layer, attention)
        return attention @ v

    return mix


class _GeneEncoder(nn.Module):
    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(rows, width)
        self.enc_norm = nn.LayerNorm(width)

    def forward(self, gene_ids: Tensor) -> Tensor:
        return self.enc_norm(self.embedding(gene_ids))


class _ValueEncoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, width)
        self.linear2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor) -> Tensor:
        hidden = F.relu(self.linear1(values.clamp(max=MAX_VALUE).unsqueeze(-1)))
        return self.norm(self.linear2(hidden))


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mix: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        batch, length, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.out_proj(mix(q, k, v).transpose(1, 2).reshape(batch, length, width))


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = _SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mix: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        x = self.norm1(x + self.self_attn(x, mix))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class _Encoder(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, heads, feedforward) for _ in range(layers))


class _ValueDecoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(width, width),
            nn.LeakyReLU(),
            nn.Linear(width, width),
            nn.LeakyReLU(),
            nn.Linear(width, 1),
        )


class _MVCDecoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gene2query = nn.Linear(width, width)
        self.W = nn.Linear(width, width, bias=False)


class ScGPT(nn.Module):
    """An scGPT of the shape that `args` gives (nlayers, nheads, embsize, d_hid) with `rows` embedding rows.

    Shapes below: B cells, T tokens, d = embsize, L = nlayers, H = nheads.
    """

    def __init__(self, args: Mapping[str, Any], rows: int) -> None:
        """Build the layers; weights are meaningless until loaded or initialised."""
        super().__init__()
        width = args["embsize"]
        self.encoder = _GeneEncoder(rows, width)
        self.value_encoder = _ValueEncoder(width)
        self.transformer_encoder = _Encoder(args["nlayers"], width, args["nheads"], args["d_hid"])
        self.decoder = _ValueDecoder(width)
        self.mvc_decoder = _MVCDecoder(width)
        self.flag_encoder = nn.Embedding(2, width)

    @property
    def layers(self) -> int:
        """Number of transformer layers L."""
        return len(self.transformer_encoder.layers)

    @property
    def heads(self) -> int:
        """Number of attention heads H."""
        return self.transformer_encoder.layers[0].self_attn.heads

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.encoder.embedding.weight.device

    def encode(
        self,
        gene_ids: Tensor,
        values: Tensor,
        padding: Tensor | None = None,
        hidden: bool = False,
        on_attention: AttentionSink | None = None,
        mixer: Mixer | None = None,
    ) -> Tensor:
        """Run the encoder.

        `gene_ids` (B, T) int64, `values` (B, T) float32, `padding` (B, T) bool with True at padded positions,
        whose outputs mean nothing (None: none is padded). Returns the last hidden states (B, T, d), or with
        `hidden` all of them (L + 1, B, T, d), the input sum first. `on_attention(layer, attention)` gets each
        layer's post-softmax attention (B, H, T, T), query by key; without it the fused kernel is used. A `mixer`
        takes the place of both and of the padding mask.
        """
        keep = None if padding is None else ~padding[:, None, None, :]
        if mixer is None:
            mixer = fused_mixer(keep) if on_attention is None else explicit_mixer(on_attention, keep)
        x = self.encoder(gene_ids) + self.value_encoder(values)
        states = [x]
        for index, layer in enumerate(self.transformer_encoder.layers):
            x = layer(x, partial(mixer, index))
            if hidden:
                states.append(x)
        return torch.stack(states) if hidden else x

    def decode(self, hidden: Tensor) -> Tensor:
        """Values predicted from each position's hidden state, (B, T, d) to (B, T)."""
        return self.decoder.fc(hidden).squeeze(-1)

    def mvc(self, cell_embedding: Tensor, gene_ids: Tensor) -> Tensor:
        """Values of `gene_ids` (B, T) predicted from the cell embedding (B, d) alone; (B, T)."""
        query = torch.sigmoid(self.mvc_decoder.gene2query(self.encoder(gene_ids)))
        return torch.bmm(self.mvc_decoder.W(query), cell_embedding.unsqueeze(2)).squeeze(2)

    @staticmethod
    def cell_embedding(hidden: Tensor, how: Literal["cls", "mean"] = "cls", padding: Tensor | None = None) -> Tensor:
        """Cell embedding (B, d) before L2 normalisation: the first position, or the mean of unpadded ones."""
        if how == "cls":
            return hidden[:, 0]
        keep = torch.ones(hidden.shape[:2], device=hidden.device) if padding is None else (~padding).float()
        return (hidden * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)

    @torch.no_grad()
    def initialise(self, seed: int) -> "ScGPT":
        """Draw fresh weights by `seed` and tensor name.

        Matrices are Xavier uniform, the embedding U(-0.1, 0.1), biases 0 and norms 1, but for the value
        encoder's first layer: without biases its LayerNorm would hide how large a value is, so that its
        ReLUs start with their kinks spread over the bins.
        """
        for name, parameter in self.named_parameters():
            generator = torch.Generator().manual_seed(derive_seed(seed, "initialise", name))
            if name == UNUSED or name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1.0)
            elif name.startswith("encoder.embedding"):
                parameter.uniform_(-0.1, 0.1, generator=generator)
            else:
                nn.init.xavier_uniform_(parameter, generator=generator)
                if name.endswith(RESIDUAL_OUTPUTS) and name.startswith("transformer_encoder"):
                    parameter.mul_(RESIDUAL_SCALE)
        first = self.value_encoder.linear1
        generator = torch.Generator().manual_seed(derive_seed(seed, "initialise", "kinks"))
        kinks = HIGHEST_BIN * torch.rand(len(first.bias), generator=generator)
        first.bias.copy_(-first.weight.squeeze(1) * kinks)
        return self


def load_model(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> ScGPT:
    """Build the model of a checked checkpoint on `device`: eval mode, no gradients."""
    state = dict(checkpoint.state)
    rows, width = state["encoder.embedding.weight"].shape
    state.setdefault(UNUSED, torch.zeros(2, width))
    with torch.device("meta"):
        model = ScGPT(checkpoint.args, rows)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval().requires_grad_(False).to(device)
