"""A model that answers by loudness, and clips, for tests of the page of emorec demo."""

import numpy as np

from emorec.corpora.drawn_faces import any_look, blend, draw_face
from emorec.corpora.drawn_videos import write_film
from emorec.corpora.drawn_voices import any_voice, speak
from emorec.corpora.drawn_voices import blend as prosody
from emorec.labels import FERPLUS
from emorec.prediction.media import sound_of
from emorec.prediction.predictor import Given
from emorec.prediction.recordings import VOICE, WORDS


class Loud:
    """Hears anger in loud voices and neutral in quiet ones."""

    schema, takes = FERPLUS, (VOICE,)

    def __init__(self, name="loud", turned=False):
        self.name, self.turned = name, turned

    def given(self, recording, spans):
        for sound in sound_of(recording, spans):
            if sound is None:
                yield Given(None, (), "no sound in it")
            else:
                yield Given(float(np.abs(sound[0]).mean()), (VOICE,))

    def scores(self, contents):
        scores = np.full((len(contents), 8), 0.02)
        loud = np.clip(np.array(contents) * 10, 0, 1)
        loud = 1 - loud if self.turned else loud
        scores[:, FERPLUS.index("anger")] += 0.84 * loud
        scores[:, FERPLUS.index("neutral")] += 0.84 * (1 - loud)
        return scores


class Wordy:
    """Reads happiness in every word."""

    name, schema, takes = "wordy", FERPLUS, (WORDS,)

    def given(self, recording, spans):
        for span in spans:
            yield Given(span.text or None, (WORDS,) if span.text else (), "no words")

    def scores(self, contents):
        return np.eye(8)[[FERPLUS.index("happiness")] * len(contents)]


def film(path, seconds=3.0, seed=0):
    """Write a drawn face that speaks angrily."""
    random = np.random.default_rng(seed)
    look = any_look(random)
    face = draw_face(blend("anger", 1.0), look, random, 120, enlarged=1.6)
    said = prosody("anger", 1.0, random)
    samples, _ = speak(any_voice(random), said, seconds, random)
    write_film(path, [face] * round(10 * seconds), 10, 4 * samples, 16_000)
    return path
