"""The space that a separator's queries live in: the query encoder's own, or what principal components leave of it.

With PCA a separator is trained and used on projected embeddings, so the projection is part of the checkpoint's
configuration (``query_projection``) and goes around the query encoder wherever the separator is used. It is fitted on
the names of the label table, hence the same everywhere.

Example::

    encoder = in_query_space(load_query_encoder("embedded"), separator.config.query_projection)
"""

from torch import Tensor

from data_specs.errors import UserError
from data_specs.extractors import QueryProjection
from data_specs.labels import label_table
from models.manipulations import TextPca
from models.query_encoders import QueryEncoder, TokenEncoder

PCA_DIMS = 16  # section II-C of Saijo et al. 2024


class ProjectedEncoder:
    """A query encoder whose embeddings, of text and of audio, go through PCA, or through PCA and back."""

    def __init__(self, encoder: QueryEncoder, *, restored: bool, dims: int = PCA_DIMS):
        self.encoder = encoder
        self.dim = encoder.dim
        pca = TextPca(encoder.embed_text(list(label_table().names)).clone(), dims)
        self._project = pca.restore if restored else pca.reduce

    def embed_text(self, texts: list[str]) -> Tensor:
        """Texts to projected embeddings (N, D); raises as the encoder does."""
        return self._project(self.encoder.embed_text(texts))

    def embed_tokens(self, texts: list[str]) -> Tensor:
        """Texts to one projected vector per token, (N, L, D), zeros after a text's end.

        Raises:
            UserError: when the encoder knows whole texts only.
        """
        if not isinstance(self.encoder, TokenEncoder):
            raise UserError("model.clap gives no vectors of single words: use another one")
        return self._project(self.encoder.embed_tokens(texts))

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Waveforms (N, T) to projected embeddings (N, D)."""
        return self._project(self.encoder.embed_audio(waveforms))


def in_query_space(encoder: QueryEncoder, projection: QueryProjection) -> QueryEncoder:
    """The encoder as a separator needs it whose configuration names this projection."""
    return encoder if projection == "none" else ProjectedEncoder(encoder, restored=projection == "pca_inverse")
