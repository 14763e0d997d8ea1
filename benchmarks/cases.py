"""The models and batches to measure, and the arithmetic of their training steps."""

from dataclasses import dataclass

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Case:
    """A model and the batch it learns from; in sampling, `batch` texts side by side."""

    embedding: int
    hidden: int
    layers: int
    batch: int
    time: int
    cell: str = "lstm"
    vocabulary: int = 65
    characters: int = 1_000_000  # of the training text

    @property
    def name(self) -> str:
        """Short, and the same for the same sizes: `lstm-128x2-b50-t50`."""
        embedding = "" if self.embedding == self.hidden else f"-e{self.embedding}"
        return f"{self.cell}-{self.hidden}x{self.layers}{embedding}-b{self.batch}-t{self.time}"


TINY = Case(16, 16, 1, 4, 8)  # to try the machinery out
TRAINED = (
    Case(128, 128, 2, 50, 50),
    Case(256, 256, 2, 16, 128),
    Case(512, 512, 2, 64, 64),
    Case(192, 192, 1, 32, 32),
    Case(1024, 1024, 1, 32, 64),
    Case(256, 256, 2, 16, 128, cell="gru"),
)
TRAINED_ON_GPU = (*TRAINED, Case(768, 768, 1, 16, 1024), Case(1024, 1024, 2, 64, 256))


def train_cases(platform: str, *, quick: bool) -> tuple[Case, ...]:
    """The training steps to measure on `platform`, `cpu` or `gpu`."""
    if quick:
        return (TINY,)
    return TRAINED_ON_GPU if platform == "gpu" else TRAINED


def step_flop(case: Case) -> int:
    """Floating-point operations of one training step: those of its matrix products, a product and a sum each.

    For D = batch * time characters, H = hidden, V = vocabulary, E = embedding, G gates and L layers:

        recurrence h W_h           6 G H^2 L D          forward 2 G H^2, and twice that backward (dh and dW)
        projections, layer 2 on    6 G H^2 (L - 1) D
        projected table            6 G H E V            once a step: the table's rows, not the batch's
        output layer               6 H V D

    Where the table would be no cheaper (V >= D), layer 1 projects its D inputs instead. Only the operations
    that the model needs are counted. Additional ones of an implementation, such as summing the gradient of the table's
    rows by a product with one-hot vectors (8 V H D more), lower its share of the machine's peak.
    """
    characters = case.batch * case.time
    weights = GATES[case.cell] * case.hidden
    recurrence = 6 * weights * case.hidden * case.layers * characters
    projections = 6 * weights * case.hidden * (case.layers - 1) * characters
    first = 6 * weights * case.embedding * min(case.vocabulary, characters)
    return recurrence + projections + first + 6 * case.hidden * case.vocabulary * characters
