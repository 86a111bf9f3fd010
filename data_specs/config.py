"""The configuration: one strict tree, every default once, presets as small YAML files.

``load_config`` takes the name of a preset (``demo``, ``embedded``) or the path of a YAML file, which may name the
preset it starts from (``preset: embedded``) and overrides what it lists. Unknown keys are errors that name the key.

Example::

    config = load_config("my-corpus.yaml")
    config.gate.itt_db, config.audio.clip_duration_s
"""

import difflib
import hashlib
import json
import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from data_specs.errors import UserError
from data_specs.extractors import ConformerConfig, QueryProjection, ResUNetConfig, UNetConfig
from data_specs.objectives import ManipulationConfig, ObjectiveName, TextManipulationConfig, WeakConfig
from data_specs.section import Section
from data_specs.unconditional import UnconditionalTrainConfig

NO_RESULTS = {"workers", "rounds", "report", "takedown", "unconditional"}
"""Parts of a configuration that may change in a workspace: they change no result of a round."""


class AudioConfig(Section):
    """How recordings become clips."""

    sample_rate_hz: int = Field(32_000, gt=0)
    clip_duration_s: float = Field(10.0, gt=0, description="Longer recordings are cut into windows of this length.")
    min_duration_s: float = Field(0.5, gt=0, description="Shorter recordings, and shorter last windows, are dropped.")
    silence_db: float = Field(-70.0, description="A clip whose RMS is below this (dB full scale) is dropped as silent.")


class CorpusConfig(Section):
    """Where recordings come from. ``builtin`` needs no files: it is the built-in soundscapes."""

    kind: Literal["builtin", "clip_list", "folder", "audioset", "esc50"] = "builtin"
    path: str = Field("", description="Clip list, folder, AudioSet segment CSV or ESC-50 root.")
    audio_root: str = Field("", description="Folder that relative paths start from; the list's own folder if empty.")
    split: str = Field("", description="Take only the rows of this split; all rows if empty.")
    count: int = Field(120, ge=1, description="Number of clips when kind is builtin.")

    @model_validator(mode="after")
    def _files_have_a_kind(self):
        if self.kind == "builtin" and (own := self.path or self.audio_root):
            raise ValueError(f"{own!r} is given, but the built-in sounds have no files: add kind, such as folder")
        return self


class SoundscapeConfig(Section):
    """How scenes are composed, built-in ones and those from single-source clips."""

    labels_min: int = Field(2, ge=1)
    labels_max: int = Field(4, ge=1)
    gain_db: tuple[float, float] = (-5.0, 5.0)
    room_probability: float = Field(0.5, ge=0, le=1)
    background_probability: float = Field(0.3, ge=0, le=1, description="Share of scenes with unlabelled background.")
    background_db: tuple[float, float] = Field((-35.0, -20.0), description="Level of the background below the scene.")
    full_length_probability: float = Field(0.5, ge=0, le=1, description="Share of events that last the whole scene.")


class TagConfig(Section):
    """Labels for clips that came without: a tagger's scores above a threshold, best first."""

    tagger: Literal["clap", "panns"] = Field("clap", description="By model.clap, or by PANNs Cnn14 (model.panns).")
    threshold: float = Field(
        0.25, ge=0, le=1, description="Of the probability; with LAION-CLAP as the tagger, of the cosine."
    )
    labels_max: int = Field(4, ge=1)
    unit_clips: int = Field(64, ge=1, description="Rows of the clip table per work unit of the tag stage.")
    batch_clips: int = Field(8, ge=1)
    batch_s: float = Field(
        160.0, gt=0, description="Seconds of clips that a batch has at most; the memory it needs grows with them."
    )


class HTSATConfig(Section):
    """HTSAT audio encoder. Width doubles and resolution halves from stage to stage."""

    sample_rate_hz: int = 32_000
    n_fft: int = 1024
    hop_length: int = 640
    mel_bins: int = 64
    f_min_hz: float = 50.0
    f_max_hz: float = 14_000.0
    spec_size: int = Field(128, description="The spectrogram is folded into a square image of this side.")
    patch_size: int = 4
    width: int = 24
    depths: tuple[int, ...] = (2, 2, 2, 1)
    heads: tuple[int, ...] = (2, 4, 8, 16)
    window_size: int = 8

    @property
    def frames(self) -> int:
        """Mel frames of one window: the image's side times the number of folds."""
        return self.spec_size * (self.spec_size // self.mel_bins)

    @property
    def window_s(self) -> float:
        """Length of one window in seconds."""
        return self.frames * self.hop_length / self.sample_rate_hz


class SeparatorConfig(Section):
    """ClearSep separator (A.1 of the paper): encoder with LoRA, FiLM decoder, mask net on the linear spectrogram.

    The defaults are the embedded size; the paper's is in the preset ``full``.
    """

    kind: Literal["clearsep"] = "clearsep"
    encoder: HTSATConfig = HTSATConfig()
    lora_rank: int = Field(8, ge=0, description="0 leaves the encoder frozen without adapters.")
    decoder_width: int = 24
    decoder_depths: tuple[int, ...] = (1, 1, 1, 1)
    decoder_heads: tuple[int, ...] = (2, 4, 8, 16)
    decoder_window_size: int = 8
    mask_width: int = 160
    mask_layers: int = 2
    mask_heads: int = 8
    mask_guess: bool = Field(True, description="The decoder's feature is a first guess of the mask; off at full size.")
    query_dim: int = Field(128, description="Size of one query embedding; the decoder sees positive and negative.")
    sample_rate_hz: int = 32_000
    n_fft: int = 1024
    hop_length: int = 512
    window_s: float | None = Field(None, description="Longer input is separated in windows; None: the encoder's.")
    overlap_s: float = Field(
        0.5, gt=0, description="Windows are cross-faded over this, in the middle of their overlap."
    )
    magnitude_compression: Literal["linear", "log"] = Field("log", description="'linear' is the published form.")
    normalise_level: bool = Field(
        True, description="Bring every mixture to unit RMS first, and back afterwards; off at full size."
    )
    query_projection: QueryProjection = Field("none", description="What queries go through; set by training with PCA.")

    @model_validator(mode="after")
    def _windows_fit(self) -> "SeparatorConfig":
        if self.window_s is not None and not 0 < self.window_s <= self.encoder.window_s:
            raise ValueError(f"window_s goes up to the encoder's {self.encoder.window_s:g} s")
        if 4 * self.overlap_s * self.sample_rate_hz > self.window_length:
            raise ValueError(
                f"overlap_s goes up to a quarter of window_s, {self.window_s or self.encoder.window_s:g} s"
            )
        return self

    @property
    def window_length(self) -> int:
        """Samples of one window, the most that goes through the network at once."""
        return round((self.window_s or self.encoder.window_s) * self.sample_rate_hz)


def _kind(architecture: Any) -> str:
    """Which network a configuration describes; ``clearsep`` where it does not say."""
    found = architecture.get("kind") if isinstance(architecture, dict) else getattr(architecture, "kind", None)
    return "clearsep" if found is None else str(found)


Architecture = Annotated[
    Annotated[SeparatorConfig, Tag("clearsep")]
    | Annotated[ConformerConfig, Tag("conformer")]
    | Annotated[ResUNetConfig, Tag("resunet")]
    | Annotated[UNetConfig, Tag("unet")],
    Discriminator(_kind),
]
"""The networks that can separate, told apart by ``kind``."""


class TextEncoderConfig(Section):
    """Small text encoder: hashed character n-grams per word, then a transformer over the words."""

    buckets: int = 4096
    width: int = 128
    layers: int = 1
    heads: int = 4
    words_max: int = 24


class ClapConfig(Section):
    """Tiny CLAP: audio and text towers that meet in one space of ``embedding_dim``."""

    audio: HTSATConfig = HTSATConfig()
    text: TextEncoderConfig = TextEncoderConfig()
    embedding_dim: int = 128


class ModelConfig(Section):
    """Which weights a workspace starts from; ``embedded`` is what the package ships.

    ``checkpoint`` is ``embedded``, a folder with ``separator.safetensors`` and ``config.json``, the file of a published
    CLAPSep checkpoint, or ``untrained``: a new network, which for ``clearsep`` has the encoder of the LAION-CLAP
    checkpoint ``clap``.
    """

    checkpoint: str = Field("embedded", description="The separator: a folder, a CLAPSep file, 'embedded', 'untrained'.")
    architecture: Architecture = Field(
        SeparatorConfig(), description="Kind and size of a CLAPSep or untrained separator; a folder says its own."
    )
    clap: str = Field(
        "embedded",
        description="Query encoder: 'embedded', a folder with clap.safetensors and clap.json, a LAION-CLAP or MS-CLAP "
        "checkpoint (file, or folder that holds it), or a name of models/assets/weights.yaml (such as 'ms-clap').",
    )
    silence_floor_db: float | None = Field(
        None,
        lt=0,
        description="A track that is further than this below its mixture is silence; null: none is.",
    )
    panns: str = Field("panns", description="Cnn14 checkpoint for tag.tagger 'panns': a file, or the public 'panns'.")


class SeparateConfig(Section):
    """Separation of work units."""

    unit_clips: int = Field(16, ge=1, description="Clips per work unit: the unit of commit, retry and resume.")
    batch_clips: int = Field(4, ge=1)
    batch_track_s: float = Field(
        320.0,
        gt=0,
        description="Seconds of tracks that a batch gives at most; the memory it needs grows with them.",
    )
    bf16: bool = Field(False, description="Run the separator in bfloat16 autocast: faster, a little less exact.")
    source: Literal["labels", "label_free", "both"] = Field(
        "labels",
        description="What tracks come from: label queries; the unconditional separator, whose estimates are tagged; or "
        "both: label queries for clips with two labels or more, the unconditional separator for all others.",
    )
    unconditional: str = Field(
        "", description="The unconditional separator: a folder that data-engine train-unconditional has written."
    )
    quiet_db: float = Field(-30.0, description="Estimates of it this far below their clip are left out.")

    @model_validator(mode="after")
    def _has_its_separator(self) -> "SeparateConfig":
        if self.source != "labels" and not self.unconditional:
            raise ValueError(
                f"source {self.source!r} needs separate.unconditional, an unconditional separator's folder"
            )
        return self


class GateConfig(Section):
    """Which tracks are kept: by the paper's thresholds (A.2), or by a model calibrated on scenes with known truth."""

    preset: Literal["paper", "calibrated"] = "calibrated"
    itt_db: float = Field(10.0, description="Re-SDR and Re-SISDR above this keep a clip's tracks (preset paper).")
    sst_db: float = Field(15.0, description="The same for clips that train with their own tracks.")
    good_db: float = Field(5.0, description="A track is good when its SI-SDR is above this.")
    itt_probability: float = Field(0.7, gt=0, lt=1, description="A kept track is good with at least this probability.")
    sst_probability: float = Field(0.85, gt=0, lt=1, description="The same for all tracks of a clip of tier sst.")
    doubt_probability: float = Field(0.1, ge=0, lt=1, description="Below this the first look decides alone.")
    cut_probability: float = Field(0.45, gt=0, lt=1, description="From this on a track is taken for a cut of the clip.")
    copy_similarity: float = Field(0.998, gt=0, le=1, description="From this on a track is taken for a copy of it.")
    calibration_share: float = Field(0.25, gt=0, lt=1, description="Share of the training clips held back for it.")
    calibration_scenes: int = Field(150, ge=0, description="Scenes of single-source clips that a round calibrates on.")
    shift_clips: int = Field(48, ge=0, description="Natural clips that are compared with the scenes.")
    tracks_min: int = Field(60, ge=2, description="Fewer calibration tracks fall back to the paper's thresholds.")


class TrainConfig(Section):
    """Retraining of a round (A.1 and section 3.3 of the paper)."""

    steps: int = Field(60, ge=0, description="Optimizer steps per round.")
    batch_size: int = Field(8, ge=1, description="Samples per step over all workers.")
    learning_rate: float = Field(2e-4, gt=0)
    learning_rate_min: float = Field(5e-6, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    gradient_clip: float = 5.0
    schedule: Literal["plateau", "cosine"] = "plateau"
    plateau_factor: float = 0.3
    plateau_patience: int = Field(5, description="Validations without improvement before the rate decays.")
    validate_every: int = Field(20, ge=1, description="Steps between validations.")
    validation_mixtures: int = Field(16, ge=1)
    checkpoint_every: int = Field(50, ge=1, description="Steps between the points that training can go on from.")
    bf16: bool = Field(False, description="Run the network in bfloat16 autocast; weights and losses stay float32.")
    sdr_weight: float = Field(0.9, ge=0, le=1, description="λ of eq. 5.")
    silence_rate: float = Field(0.05, ge=0, le=1, description="α: share of samples queried with an absent label.")
    pos_only_rate: float = Field(0.25, ge=0, le=1)
    neg_only_rate: float = Field(0.25, ge=0, le=1)
    itt_share: float = Field(0.4, ge=0, le=1, description="Share of samples made from kept tracks.")
    sst_share: float = Field(0.1, ge=0, le=1, description="Share of samples that are natural clips with their tracks.")
    interferers_max: int = Field(2, ge=1)
    queries_per_mixture: int = Field(2, ge=1, description="Estimates asked of every mixture; it is encoded once.")
    snr_db: tuple[float, float] = (-5.0, 5.0)
    speed_range: tuple[float, float] = Field((1.0, 1.0), description="Random speed of clean tracks, pitch included.")
    eq_db: float = Field(0.0, ge=0, description="Random equaliser on clean tracks: up to this gain either way.")
    objectives: dict[ObjectiveName, float] = Field(
        {"supervised": 1.0}, min_length=1, description="Ways to learn, with the weights of their losses in every step."
    )
    text_query: TextManipulationConfig = TextManipulationConfig()
    audio_query: ManipulationConfig = ManipulationConfig()
    weak: WeakConfig = WeakConfig()

    @field_validator("objectives")
    @classmethod
    def _weights_are_positive(cls, objectives: dict[ObjectiveName, float]) -> dict[ObjectiveName, float]:
        if any(weight <= 0 for weight in objectives.values()):
            raise ValueError("weights must be positive; leave an objective out to switch it off")
        return objectives


class EvaluateConfig(Section):
    """The held-out set that no round trains on, and the promotion rule."""

    held_out_share: float = Field(0.2, gt=0, lt=1, description="Share of single-source clips kept for evaluation.")
    mixtures: int = Field(48, ge=1)
    tolerance_db: float = Field(0.0, ge=0, description="How much worse in SDRi or SI-SDRi a candidate may be.")


class ReportConfig(Section):
    """What the report of a round shows; it changes no result."""

    examples_per_label: int = Field(2, ge=0, description="Clips to listen to per label and tier.")
    examples_max: int = Field(120, ge=0, description="Clips to listen to in all.")
    table_tracks: int = Field(100_000, ge=1, description="Rows of the table of tracks; a random sample of more tracks.")
    near_silent_db: float = Field(-30.0, description="A kept track with a smaller share of its clip is a problem.")


class WorkersConfig(Section):
    """Ray resources per stage, and how often what fails is tried again. None of it changes results.

    0 workers for tagging or separation means as many as the machine or cluster has room for.
    """

    ingest_threads: int = Field(4, ge=1, description="Recordings that are read at the same time at ingest.")
    tag_workers: int = Field(1, ge=0)
    tag_cpus: float = Field(1.0, gt=0)
    tag_gpus: float = Field(0.0, ge=0)
    separate_workers: int = Field(1, ge=0)
    separate_cpus: float = Field(1.0, gt=0)
    separate_gpus: float = Field(0.0, ge=0)
    ahead: int = Field(2, ge=1, description="Plan parts in a worker's hands: one in the network, others read, written.")
    train_workers: int = Field(1, ge=1)
    train_cpus: float = Field(1.0, gt=0)
    train_gpus: float = Field(0.0, ge=0)
    train_loaders: int = Field(0, ge=0, description="Processes per training worker that read ahead; 0 reads inside.")
    train_retries: int = Field(3, ge=0, description="How often training goes on after a worker died.")
    object_store_mb: int = Field(256, ge=80, description="Object store of a Ray started in this process.")
    retries: int = Field(2, ge=0, description="Further attempts at what killed a worker or could not be written.")
    retry_delay_s: float = Field(1.0, ge=0, description="Wait before the first of them; it doubles each time.")


class Config(Section):
    """The whole configuration of a workspace."""

    rounds: int = Field(2, ge=1)
    seed: int = 0
    corpus: CorpusConfig = CorpusConfig()
    single_source: CorpusConfig = CorpusConfig()
    takedown: str = Field("", description="List (column path) of recordings that their owners have withdrawn.")
    audio: AudioConfig = AudioConfig()
    soundscapes: SoundscapeConfig = SoundscapeConfig()
    tag: TagConfig = TagConfig()
    model: ModelConfig = ModelConfig()
    separate: SeparateConfig = SeparateConfig()
    gate: GateConfig = GateConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    unconditional: UnconditionalTrainConfig = UnconditionalTrainConfig()
    report: ReportConfig = ReportConfig()
    workers: WorkersConfig = WorkersConfig()

    def digest(self) -> str:
        """Hash of everything that changes results; worker counts, the number of rounds and the report do not.

        Defaults are left out: a key that a later version adds does not make another configuration of an old one.
        """
        content = self.model_dump(mode="json", exclude=NO_RESULTS, exclude_defaults=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def preset_names() -> list[str]:
    """Names that ``load_config`` takes instead of a path."""
    return sorted(
        item.name[:-5]
        for item in resources.files("data_specs").joinpath("presets").iterdir()
        if item.name.endswith(".yaml")
    )


def load_config(name_or_path: str, overrides: dict[str, Any] | None = None) -> Config:
    """Read a preset or a YAML file, apply ``overrides`` (nested dict) on top, and validate.

    Relative paths inside ``corpus``, ``single_source``, ``takedown``, ``model`` and ``separate.unconditional`` start
    from the YAML file's folder.

    Raises:
        UserError: no such file or preset, not YAML, unknown key, or a value that does not fit.
    """
    content = _read(name_or_path)
    try:
        return Config.model_validate(_merge(content, overrides or {}))
    except ValidationError as error:
        raise UserError(f"{name_or_path}: {_explain(error)}") from None


def stored_config(content: dict[str, Any]) -> Config:
    """A configuration that a workspace has recorded: keys that this version does not know any more are left out."""
    known = dict(content)
    while True:
        try:
            return Config.model_validate(known)
        except ValidationError as error:
            unknown = [problem["loc"] for problem in error.errors() if problem["type"] == "extra_forbidden"]
            if not unknown:
                raise
            for where in unknown:
                known = _without(known, where)


def _without(content: dict[str, Any], where: tuple[int | str, ...]) -> dict[str, Any]:
    key, rest = str(where[0]), where[1:]
    if not rest:
        return {name: value for name, value in content.items() if name != key}
    return {**content, key: _without(content[key], rest)}


def _read(name_or_path: str) -> dict[str, Any]:
    path = Path(name_or_path)
    if name_or_path in preset_names():
        text, folder = (
            resources.files("data_specs").joinpath("presets", f"{name_or_path}.yaml").read_text("utf-8"),
            None,
        )
    elif path.is_file():
        if path.suffix.lower() == ".csv":
            raise UserError(f"{path} is a list of clips: give it as --clips, with a configuration such as embedded")
        text, folder = _decoded(path.read_bytes(), name_or_path), str(path.parent)
    elif path.is_dir():
        raise UserError(f"{path} is a folder: give a YAML file that has `corpus: {{kind: folder, path: {path}}}`")
    elif "://" in name_or_path:
        text, folder = _remote_text(name_or_path), name_or_path.rpartition("/")[0]
    else:
        raise UserError(
            f"no configuration {name_or_path!r}: give a YAML file or one of the presets {', '.join(preset_names())}"
        )
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{name_or_path} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        raise UserError(f"{name_or_path} is empty: say at least where the recordings are (corpus)")
    if not isinstance(content, dict):
        raise UserError(f"{name_or_path} must hold keys and values, not {type(content).__name__}")
    if folder is not None:
        content = _anchor_paths(content, folder)
    base = content.pop("preset", None)
    return _merge(_read(base), content) if base is not None else content


def _remote_text(uri: str) -> str:
    # pyarrow takes a while to import: only those who need it pay.
    from data_specs.filesystems import resolve, telling

    filesystem, path = resolve(uri)
    try:
        with telling("read", uri), filesystem.open_input_file(path) as file:
            return _decoded(file.read(), uri)
    except FileNotFoundError:
        raise UserError(f"no file {uri}") from None


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{name} is not UTF-8 text: save it as UTF-8") from None


def _anchor_paths(content: dict[str, Any], folder: str) -> dict[str, Any]:
    for section in ("corpus", "single_source"):
        for key in ("path", "audio_root"):
            value = (content.get(section) or {}).get(key) if isinstance(content.get(section), dict) else None
            if isinstance(value, str) and value and "://" not in value and not Path(value).is_absolute():
                content[section][key] = os.path.join(folder, value)
    if isinstance(takedown := content.get("takedown"), str) and takedown and "://" not in takedown:
        content["takedown"] = os.path.join(folder, takedown)
    separate = content.get("separate")
    if isinstance(separate, dict) and isinstance(own := separate.get("unconditional"), str) and own:
        separate["unconditional"] = os.path.join(folder, own)
    model = content.get("model")
    if isinstance(model, dict) and "://" not in folder:  # names of weights stay names
        files = {key: Path(folder, value) for key, value in model.items() if isinstance(value, str)}
        content["model"] = model | {key: str(path) for key, path in files.items() if path.exists()}
    return content


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _explain(error: ValidationError) -> str:
    """The first problem of a validation error in one line, with a suggestion for a misspelt key."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "union_tag_invalid":
        return f"{where}: unknown kind {problem['ctx']['tag']!r}, the kinds are {problem['ctx']['expected_tags']}"
    if problem["type"] == "value_error":
        return f"{where}: {problem['ctx']['error']}"
    if problem["type"] == "model_type":
        return f"{where} must hold keys and values, got {problem['input']!r}"
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg'].lower()}, got {problem.get('input')!r}"
    section: Any = Config
    for part in problem["loc"][:-1]:
        section = _inner_section(section, str(part))
    key = str(problem["loc"][-1])
    close = difflib.get_close_matches(key, section.model_fields)
    closest = max(close, key=lambda name: name[:3] == key[:3], default="")
    hint = f"did you mean {closest!r}?" if close else f"known keys are {', '.join(section.model_fields)}"
    return f"unknown key {where!r}: {hint}"


def _inner_section(section: Any, name: str) -> Any:
    """The section that a key holds, or, of several possible sections, the one with that tag."""
    if isinstance(section, type) and issubclass(section, Section):
        return section.model_fields[name].annotation
    return next(get_args(one)[0] for one in get_args(section) if Tag(name) in get_args(one)[1:])
