"""A separator that takes words: labels or free text in, one track per text out.

Joins a query encoder and a separator. Every text is the positive query of its own track, and by default the other
texts of the clip are its negative query (A.2 of the paper).

Example::

    separator = LabelSeparator.load(ModelConfig())
    tracks = separator.separate(mixture, ["Bark", "Rain"])       # mixture (T,) -> (2, T)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from data_specs.config import ModelConfig
from data_specs.errors import UserError
from models.architectures import AnySeparator
from models.inference import prepare_for_inference
from models.ms_clap_files import public_clap_files
from models.queries import Query, embed_queries
from models.query_encoders import QueryEncoder, load_query_encoder
from models.query_space import in_query_space
from models.starting_point import starting_hash, starting_separator
from models.weights import OnDownload

Negatives = Sequence[Sequence[str]]


def others(labels: Sequence[str]) -> list[list[str]]:
    """For every label, the other labels of the clip."""
    return [[label for label in labels if label != own] for own in labels]


def silenced(tracks: Tensor, mixture: Tensor, floor_db: float) -> Tensor:
    """Tracks (Q, T), with zeros for those whose energy is further below the mixture's (T,) than ``floor_db``.

    What comes out for an absent label is quiet, but not silent: a mask seldom shuts. So is a source that is faint.
    """
    quiet = tracks.square().sum(dim=1) < 10 ** (floor_db / 10) * mixture.square().sum()
    return tracks.masked_fill(quiet.unsqueeze(1), 0.0)


class LabelSeparator:
    """Separates clips by text; see the module's docstring.

    Args:
        separator: is made ready for inference, in place.
        encoder: gives its queries.
        checkpoint_hash: names the separator's weights.
        bf16: run the separator in bfloat16 autocast.
        silence_floor_db: tracks that are further below their mixture are silenced (``silenced``); None for none.
    """

    def __init__(
        self,
        separator: AnySeparator,
        encoder: QueryEncoder,
        checkpoint_hash: str,
        *,
        bf16: bool = False,
        silence_floor_db: float | None = None,
    ):
        prepare_for_inference(separator, bf16=bf16)
        self.separator = separator
        self.encoder = encoder
        self._asking = in_query_space(encoder, separator.config.query_projection)
        self.checkpoint_hash = checkpoint_hash
        self.bf16 = bf16
        self.silence_floor_db = silence_floor_db

    @classmethod
    def load(
        cls,
        config: ModelConfig,
        encoder: QueryEncoder | None = None,
        *,
        bf16: bool = False,
        on_download: OnDownload = lambda name, done, total: None,
    ) -> "LabelSeparator":
        """From ``config.checkpoint``, and ``config.clap`` or an encoder that is at hand.

        Args:
            on_download: told about files that have to be fetched first.

        Raises:
            UserError: a checkpoint cannot be used, or the two do not fit each other.
        """
        separator = starting_separator(config, on_download=on_download)
        if encoder is None:
            public_clap_files(config.clap, on_download=on_download)
            encoder = load_query_encoder(config.clap)
        expected = separator.config.query_dim
        if encoder.dim != expected:
            raise UserError(
                f"the separator {config.checkpoint} expects queries of size {expected}, found {encoder.dim} from the "
                f"query encoder {config.clap}: give the one that it was trained with as model.clap"
            )
        floor_db = config.silence_floor_db
        return cls(separator, encoder, starting_hash(config), bf16=bf16, silence_floor_db=floor_db)

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the waveforms that go in and come out."""
        return self.separator.config.sample_rate_hz

    @property
    def window_s(self) -> float:
        """Length of what the separator hears at once; longer input goes through windows."""
        return self.separator.config.window_length / self.sample_rate_hz

    def separate(self, mixture: Tensor, labels: Sequence[str], *, negatives: Negatives | None = None) -> Tensor:
        """Mixture (T,) to one track per label, (Q, T).

        Args:
            negatives: per label, the texts of its negative query; None takes the other labels, an empty list none.

        Raises:
            ValueError: no labels, or a text without words.
        """
        return self.separate_batch(mixture.unsqueeze(0), [labels], negatives=[negatives] if negatives else None)[0]

    def separate_batch(
        self,
        mixtures: Tensor,
        labels: Sequence[Sequence[str]],
        *,
        negatives: Sequence[Negatives] | None = None,
    ) -> list[Tensor]:
        """Mixtures (B, T) with labels each to a list of B tensors (Q, T); the encoder runs once per mixture."""
        if not labels or any(not one for one in labels):
            raise ValueError("every mixture needs at least one label to separate")
        if negatives is None:
            negatives = [others(one) for one in labels]
        tracks = self.answer(
            mixtures,
            [
                [Query(own, tuple(rest)) for own, rest in zip(positive, negative, strict=True)]
                for positive, negative in zip(labels, negatives, strict=True)
            ],
        )
        if self.silence_floor_db is None:
            return tracks
        return [silenced(own, mixture, self.silence_floor_db) for own, mixture in zip(tracks, mixtures, strict=True)]

    @torch.inference_mode()
    def answer(self, mixtures: Tensor, queries: Sequence[Sequence[Query]]) -> list[Tensor]:
        """Mixtures (B, T) with Q queries each to a list of B tensors (Q, T); the encoder runs once per mixture.

        A query may lack its positive text: what none of its negatives explains is the answer. Nothing is silenced here.
        """
        tracks: dict[int, Tensor] = {}
        for count in sorted({len(own) for own in queries}):  # clips with as many queries at once: none is padded
            rows = [row for row, own in enumerate(queries) if len(own) == count]
            embedded = embed_queries(self._asking, [queries[row] for row in rows], tokens=self.separator.takes_tokens)
            with torch.autocast(mixtures.device.type, torch.bfloat16, enabled=self.bf16):
                estimates = self.separator(mixtures[rows], embedded)  # (rows, Q, T)
            tracks.update(zip(rows, estimates, strict=True))
        return [tracks[row] for row in range(len(queries))]
