"""Transcripts: what players read is read, what would lose words or times is refused."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emorec.errors import DataError
from emorec.prediction.recordings import Span
from emorec.prediction.transcripts import NOMINAL, read_transcript

SRT = """1
00:00:01,000 --> 00:00:02,500
Hello.

2
00:00:03,000 --> 00:00:04,000
Bye.
"""
READ = (Span(1.0, 2.5, "Hello."), Span(3.0, 4.0, "Bye."))


def read(folder, text, name="a.srt", encoding="utf-8", duration=None):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_transcript(path, duration)


@pytest.mark.parametrize(
    "text",
    [
        SRT,
        SRT.replace("\n", "\r\n"),
        SRT.replace("\n", "\r"),
        SRT.replace(",", "."),
        SRT.replace("00:00:", "00:"),
        SRT.replace("00:00:", "0:00:").replace(" --> ", "-->"),
        SRT.replace("\n\n2", "\n2").rstrip(),
        SRT.replace("1\n00", "00").replace("2\n00", "00"),
        SRT.replace("\n\n2", "\n\n\n \n2") + "\n\n",
        SRT.replace("500\n", "500  X1:40 X2:600 Y1:20 Y2:50\n"),
        SRT.replace("Hello.", '<i><font color="#fff">Hello.</font></i>{\\an8}'),
        "WEBVTT\n\n" + SRT,
        "2\n00:00:03,000 --> 00:00:04,000\nBye.\n\n"
        "1\n00:00:01,000 --> 00:00:02,500\nHello.\n\n",
    ],
)
def test_subtitles_are_read_as_players_read_them(tmp_path, text):
    assert read(tmp_path, text) == READ
    for encoding in ("utf-8-sig", "utf-16"):
        assert read(tmp_path, text, encoding=encoding) == READ


VTT = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE who --
wrote this

intro
00:01.000 --> 00:02.500 align:start position:0%
<v.loud Ross Geller>Hello<00:00:01.500><c.yellow> &amp; good-bye</c></v>
- <i>so</i>  &lt;b&gt;, 2 < 3&nbsp;&notanentity;

NOTE
00:02.000 --> 1:00:00.000
<v Ann>A <v Bob>B
"""


def test_web_subtitles_have_notes_settings_tags_and_speakers(tmp_path):
    text = VTT.replace("NOTE\n00:02", "00:02")
    first, second = read(tmp_path, text, "a.vtt")
    said = "Hello & good-bye - so <b>, 2 < 3 &notanentity;"
    assert first == Span(1.0, 2.5, said, "Ross Geller")
    # They overlap, and that is left to who reads them.
    assert second == Span(2.0, 3600.0, "A B", "")


def test_words_are_kept_whatever_stands_between_them(tmp_path):
    text = SRT.replace("Hello.", "Hello\n\nworld --> go\n42") + "\n7 days\n"
    first, second = read(tmp_path, text)
    assert first.text == "Hello world --> go 42"
    assert second.text == "Bye. 7 days"
    silent = read(tmp_path, SRT.replace("Hello.", ""))
    assert silent[0] == Span(1.0, 2.5, "")


words = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "),
    max_size=40,
)
cues = st.lists(
    st.tuples(
        st.integers(0, 10**8),
        st.integers(1, 10**5),
        words,
        st.sampled_from(("", "Ann")),
    ),
    min_size=1,
    max_size=6,
)


def clock(milliseconds, mark):
    seconds, part = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{mark}{part:03}"


@given(cues)
def test_what_is_written_is_read(tmp_path_factory, given_cues):
    folder = tmp_path_factory.mktemp("x")
    spans = [
        Span(start / 1000, (start + length) / 1000, " ".join(text.split()), name)
        for start, length, text, name in given_cues
    ]
    spans.sort(key=lambda span: (span.start, span.end))
    srt, vtt = [], ["WEBVTT", ""]
    for number, span in enumerate(spans, 1):
        start, end = (round(1000 * time) for time in span[:2])
        text = html.escape(span.text, quote=False).replace("{", "&#123;")
        srt += [number, f"{clock(start, ',')} --> {clock(end, ',')}", text, ""]
        voice = f"<v {span.speaker}>" if span.speaker else ""
        vtt += [f"{clock(start, '.')} --> {clock(end, '.')}", voice + text, ""]
    found = read(folder, "\n".join(map(str, srt)))
    assert [span[:3] for span in found] == [span[:3] for span in spans]
    assert read(folder, "\n".join(vtt), "a.vtt") == tuple(spans)


def test_a_plain_text_is_one_span(tmp_path):
    text = "One line.\nAnother; a third.\n\nAnd an end.\n"
    joined = "One line. Another; a third. And an end."
    assert read(tmp_path, text, "a.txt", duration=7.5) == (Span(0.0, 7.5, joined),)
    assert read(tmp_path, text, "a.TXT", "utf-16") == (Span(0.0, NOMINAL, joined),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\ufeff \n\n", "the file is empty"),
        (
            SRT.replace("Bye", "Adi\xf3s").encode("latin-1"),
            "line 7: .*Save it as UTF-8",
        ),
        (SRT.encode("utf-16-le"), "without a byte order mark"),
        (b"\x7fELF\x01\x01\x00\x00", "control character"),
        (SRT.encode("utf-32"), r"line \d+: expected text"),
        (SRT.encode("utf-16")[:-1], "expected text in UTF-8"),
        ("Words alone\n", "line 1: expected a cue's number or its times"),
        (SRT.replace("00:00:02,500", "00:00:00,500"), "line 2: expected an end later"),
        (SRT.replace("00:00:04,000", "00:00:03,000"), "line 6: expected an end later"),
        (SRT.replace("00:00:03", "-00:00:03"), "line 6: times below 0"),
        (SRT.replace("--> 00:00:04", "--> -00:00:04"), "line 6: times below 0"),
        (SRT.replace("02,500", "02,5"), "line 2: expected three digits"),
        (SRT.replace("00:00:03", "00:61:03"), "line 6: expected minutes and seconds"),
        (SRT.replace("4,000\n", "4,000s\n"), "line 6: expected times as"),
        (SRT.replace(" --> 00:00:04", " -> 00:00:04"), "line 6: expected times as"),
        (SRT.replace("--> 00:00:04,000", "-->"), "line 6: expected times as"),
        (SRT + "\n3\n", "line 9: the number 3 of a cue, but no times"),
        ("42\n\n" + SRT, "line 1: the number 42"),
    ],
)
def test_what_would_lose_something_is_refused_with_its_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path, content)
    assert str(raised.value).startswith(str(tmp_path / "a.srt"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("00:01.000 --> 00:02.000\nHello\n", "line 1: expected WEBVTT"),
        ("WEBVTT\n\nnobody said when\n", "line 3: expected times"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\nA\n\nB\n", "line 6: expected times"),
        ("WEBVTT\n\nsoon --> later\nA\n", "line 3: expected times as"),
        ("WEBVTT\n\nNOTE nothing\n", "found none"),
    ],
)
def test_web_subtitles_that_cannot_be_read_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, text, "a.vtt")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected a transcript, \.srt"):
        read(tmp_path, SRT, "a.ass")
    with pytest.raises(DataError, match="cannot be read"):
        read_transcript(tmp_path / "none.srt")
