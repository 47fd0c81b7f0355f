"""The spec that travels with every model and prediction, and is compared on loading."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from emorec.errors import SpecError
from emorec.labels import LabelSchema, check_same


@dataclass(frozen=True)
class Modality:
    """One modality of a model's input.

    Attributes
    ----------
    name : str
        ``text``, ``image`` or ``audio``.
    features : str
        The feature set, e.g. ``COVAREP``.
    width : int
        Number of columns.
    """

    name: str
    features: str
    width: int


@dataclass(frozen=True)
class Spec:
    """What enters and leaves a model.

    Attributes
    ----------
    schema : LabelSchema
        Labels in the order of the output columns.
    modalities : tuple of Modality
        In the order in which their columns are joined.
    max_steps : int
        Fixed number of steps, 0 for any.
    label_type : str
        What is predicted: ``all`` (scores), ``coarse``, ``present``, ``dominant``.
    normalisation : dict
        How features were scaled, with the training statistics where there are any.
    data : dict
        Which data trained the model. Told, not compared: a model may be tried on
        other data.
    """

    schema: LabelSchema
    modalities: tuple[Modality, ...]
    max_steps: int
    label_type: str
    normalisation: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers for JSON."""
        content = asdict(self)
        content["schema"] = self.schema.to_dict()
        content["modalities"] = [asdict(modality) for modality in self.modalities]
        return content

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Spec:
        """Rebuild a spec.

        Raises
        ------
        SpecError
            When keys are missing or unknown.
        """
        try:
            fields = dict(content)
            fields["schema"] = LabelSchema.from_dict(fields["schema"])
            fields["modalities"] = tuple(Modality(**m) for m in fields["modalities"])
            return cls(**fields)
        except (TypeError, KeyError) as error:
            raise SpecError(f"Not a spec of emorec ({error}): {content!r}.") from error

    def check(self, received: Spec, where: str) -> None:
        """Compare what a model expects (self) with what data offer.

        Raises
        ------
        LabelMismatchError
            When the labels differ in names, order, kind or range.
        SpecError
            When modalities, steps, label type or the kind of scaling differ.
        """
        check_same(self.schema, received.schema, where)
        mine, theirs = self._comparable(), received._comparable()
        lines = [
            f"  {key}: expected {mine[key]}, received {theirs[key]}"
            for key in mine
            if mine[key] != theirs[key]
        ]
        if lines:
            raise SpecError(
                "\n".join([f"{where}: the model was made for other input.", *lines])
            )

    def _comparable(self) -> dict[str, Any]:
        return {
            "modalities": ", ".join(
                f"{m.name} ({m.features}, {m.width})" for m in self.modalities
            ),
            "steps": self.max_steps,
            "label type": self.label_type,
            "normalisation": self.normalisation.get("kind"),
        }
