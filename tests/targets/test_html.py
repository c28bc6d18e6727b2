"""Pages in a real browser: what they answer, what they learn, and names that must do nothing."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import layerport as lp
import numpy as np
import pytest
from layerport.errors import UnsupportedError
from layerport_formats.html.facts import describe
from layerport_formats.html.page import compose, module_of

from targets.browser import CHROMIUM, DRIVER, Browser, browser

DIGITS = Path(lp.__file__).parent / "data" / "digits.json"
SEVEN = [[(0.3, 0.25), (0.5, 0.24), (0.7, 0.25), (0.62, 0.45), (0.52, 0.62), (0.45, 0.8)]]
ONE = [[(0.5, 0.2), (0.5, 0.35), (0.5, 0.5), (0.5, 0.65), (0.5, 0.8)]]

in_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="chromium and chromedriver are not on this machine"
)

PWN = "<img src=x onerror=window.pwned=1>"
EVIL_NAMES = [
    "</script><script>window.pwned=1</script>", f'">{PWN}', "--><!--<script>", "${window.pwned=1}",
    "`;window.pwned=1;//", '"];window.pwned=1;//', "'+(window.pwned=1)+'", "*/window.pwned=1;/*",
    "a\nwindow.pwned=1\n", "a\u2028window.pwned=1\u2029", "{{script}}", "{{facts}}",
    "back\\slash\\", "\\u0022", "__proto__", "constructor", "javascript:window.pwned=1",
    "&lt;b&gt;", "\x00nul", "", " ", "\u202egnp.exe", "n" * 5000, "\U0001f4a9", "]]>", "\r\nb",
    "</style>", "predict", "</TITLE>",
]  # fmt: skip


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as made:
        yield made


def answer(window: Browser) -> str:
    """The answer after the drawing of the next frames."""
    time.sleep(0.2)
    return window.text(".answer")


def share(window: Browser, name: str) -> float:
    """The percentage beside the name of a class."""
    script = """
        const row = [...document.querySelectorAll(".bars li")].find(
          (li) => li.querySelector(".name").textContent === arguments[0]);
        return parseFloat(row.querySelector("b").textContent)"""
    return float(window.run(script, name))


def sound(window: Browser) -> None:
    """The page works, complains of nothing, and has run nothing that it should not."""
    window.wait('return document.getElementById("test").textContent === "Self-test passed"')
    assert window.problems() == []
    assert window.run("return typeof window.pwned") == "undefined"


# In the browser -------------------------------------------------------------------------------


@in_browser
@pytest.mark.parametrize("engine", ["default", "wasm", "js"])
def test_a_drawn_digit_is_read(window: Browser, tmp_path: Path, engine: str) -> None:
    fmt = lp.default_registry().formats["html"]
    if engine != "default" and "engine" not in fmt.options:
        pytest.skip("the module has no choice of engines")
    options = {} if engine == "default" else {"engine": engine}
    report = lp.convert(DIGITS, tmp_path / "digits.html", options=options)
    assert report.verification.passed is not False
    window.open(report.path)
    assert answer(window) == ""
    window.draw("canvas.pad", SEVEN)
    assert answer(window) == "7"
    assert share(window, "7") > 50
    window.click(".row button")
    assert answer(window) == ""
    window.draw("canvas.pad", ONE)
    assert answer(window) == "1"
    window.wait('return document.getElementById("time").textContent.endsWith("ms a prediction")')
    sound(window)


@in_browser
def test_drawing_with_the_keyboard(window: Browser, tmp_path: Path) -> None:
    lp.save(lp.load(DIGITS), tmp_path / "digits.html")
    window.open(tmp_path / "digits.html")
    up, down, enter_pen = "\ue013", "\ue015", " "
    window.type("canvas.pad", up * 9 + enter_pen + down * 18)
    assert answer(window) == "1"
    window.type("canvas.pad", "\ue017")  # Delete
    assert answer(window) == ""


@in_browser
def test_a_picture_of_dark_ink_on_paper(window: Browser, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    draw = pytest.importorskip("PIL.ImageDraw")
    paper = image.new("RGB", (600, 400), (240, 238, 230))
    draw.Draw(paper).line([(310, 60), (300, 340)], fill=(30, 30, 90), width=30)
    paper.save(tmp_path / "one.png")
    lp.save(lp.load(DIGITS), tmp_path / "digits.html")
    window.open(tmp_path / "digits.html")
    window.type("input[type=file]", str(tmp_path / "one.png"))
    window.wait('return document.querySelector(".answer").textContent === "1"')
    sound(window)


@in_browser
def test_what_is_learned_in_the_page_is_read_by_python(
    window: Browser, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lp.convert(DIGITS, tmp_path / "digits.html", options={"train": "sgd"})
    window.open(tmp_path / "digits.html")
    window.draw("canvas.pad", SEVEN)
    time.sleep(0.2)
    before = share(window, "2")
    window.type("#learning .settings label:nth-child(1) input", "0.1")
    for _ in range(30):
        window.click("#learning .classes button:nth-child(3)")
    assert answer(window) == "2"
    after = share(window, "2")
    assert after > before + 20

    downloaded = tmp_path_factory.getbasetemp()
    window.click("#learning .save")
    end = time.monotonic() + 10
    while not (found := list(downloaded.glob("*/layers.json"))) and time.monotonic() < end:
        time.sleep(0.1)
    shutil.move(found[0], tmp_path / "layers.json")
    network = lp.load(tmp_path / "layers.json")
    seen = window.run("""
        const pixels = document.querySelector(".seen").getContext("2d");
        const { data } = pixels.getImageData(0, 0, 28, 28);
        return Array.from({ length: 784 }, (_, i) => data[4 * i])""")
    made = network.predict(np.array([seen]) / 255)[0]
    # The page's own percentages, with one decimal, of pixels that have 256 steps.
    assert made[2] * 100 == pytest.approx(after, abs=0.2)

    window.click("#learning .settings .row:last-child button")  # Forget
    assert answer(window) == "7"
    sound(window)


@in_browser
def test_sliders(window: Browser, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((2,)), lp.Dense(1)])
    network.set_weights([np.array([[2.0], [-3.0]], np.float32), np.array([0.5], np.float32)])
    lp.save(network, tmp_path / "m.html", features="width,height")
    window.open(tmp_path / "m.html")
    sound(window)
    assert window.text(".slider:nth-child(2) span") == "height"
    window.run("""
        const box = document.querySelector("input[type=number]");
        box.value = "1.2"; box.dispatchEvent(new Event("input"))""")
    window.wait('return document.querySelector("dd").textContent === "2.9"')
    assert window.run('return document.querySelector("input[type=range]").value') == "1.2"


@in_browser
def test_sequences(window: Browser, tmp_path: Path) -> None:
    network = lp.Sequential([lp.Input((3, 2)), lp.Flatten(), lp.Dense(1, use_bias=False)])
    network.set_weights([np.arange(1, 7, dtype=np.float32).reshape(6, 1)])
    lp.save(network, tmp_path / "m.html")
    window.open(tmp_path / "m.html")
    sound(window)
    put = """
        const box = document.querySelector("textarea");
        box.value = arguments[0]; box.dispatchEvent(new Event("input"))"""
    window.run(put, "[[1, 0], [0, 2]]\n0;1")
    window.wait('return document.querySelector("dd").textContent === "15"')  # 1 + 2 * 4 + 6
    window.run(put, "1 2 3 x")
    window.wait('return document.querySelector(".told").textContent === "“x” is no number"')
    assert window.text("dd") == "–"
    window.run(put, "1 2 3")
    window.wait('return document.querySelector(".told").textContent.startsWith("3 of 6 numbers")')


@in_browser
@pytest.mark.parametrize("train", [{}, {"train": "sgd"}])
def test_evil_names_do_nothing(window: Browser, tmp_path: Path, train: dict[str, str]) -> None:
    picture, numbers = lp.Input((8, 8, 1), name=EVIL_NAMES[0]), lp.Input((3,), name=EVIL_NAMES[1])
    x = lp.Concatenate(name=EVIL_NAMES[2])([lp.Flatten(name=EVIL_NAMES[3])(picture), numbers])
    count = len(EVIL_NAMES)
    network = lp.Network(
        [picture, numbers], lp.Dense(count, "softmax", name=EVIL_NAMES[4])(x), name=EVIL_NAMES[5]
    )
    network.initialize(0)
    network.labels = EVIL_NAMES
    features = [*[""] * 64, *EVIL_NAMES[6:9]]
    page = tmp_path / "evil.html"
    lp.save(network, page, title=EVIL_NAMES[0], features=features, **train)
    text = page.read_text()
    assert not [name for name in EVIL_NAMES if len(name) > 11 and re.search(r"[<>]", name)
                and name in text]  # fmt: skip
    window.open(page)
    window.draw("canvas.pad", ONE)
    sound(window)
    shown = window.run('return [...document.querySelectorAll(".name")].map((e) => e.textContent)')
    assert len(shown) == 12
    assert window.text("h1") == EVIL_NAMES[0]
    assert window.run("return document.title") == EVIL_NAMES[0]
    assert window.run('return document.querySelectorAll("script").length') == 2
    assert window.run('return document.querySelectorAll("img, style").length') == 1
    if train:
        window.run('document.querySelector("#learning button").click()')
        sound(window)
        assert "learned" in window.text("#learning .told")


@in_browser
def test_nothing_injected_runs(window: Browser, tmp_path: Path) -> None:
    """Even markup that got in somehow is kept from running by the page's own policy."""
    lp.save(lp.load(DIGITS), tmp_path / "digits.html")
    window.open(tmp_path / "digits.html")
    window.run("document.body.insertAdjacentHTML('beforeend', arguments[0])", PWN)
    time.sleep(0.2)
    assert window.run("return typeof window.pwned") == "undefined"
    assert any("Content Security Policy" in message for message in window.problems())


@in_browser
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_readable(window: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    lp.save(lp.load(DIGITS), tmp_path / "digits.html", train="adam")
    window.resize(width, 800)
    window.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
    window.open(tmp_path / "digits.html")
    assert window.run("return document.documentElement.scrollWidth") <= width
    assert window.run("""
        const light = (color) => {
          const context = new OffscreenCanvas(1, 1).getContext("2d");
          context.fillStyle = color;
          context.fillRect(0, 0, 1, 1);
          return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
            .map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        return Math.min(...[...document.querySelectorAll("h1, p, li, footer span")].map((e) => {
          const ink = light(getComputedStyle(e).color);
          return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        }))""") >= 4.5  # fmt: skip
    duration = 'getComputedStyle(document.querySelector(".bar i")).transitionDuration'
    assert window.run(f"return {duration}") == "0s"


# The facts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dtype", "view"),
    [
        ((28, 28, 1), "float32", "image"),
        ((3, 32, 32), "float32", "image"),
        ((28, 28), "float32", "image"),
        ((784,), "float32", "image"),
        ((64,), "float32", "sliders"),
        ((4,), "float32", "sliders"),
        ((300,), "float32", "text"),
        ((30, 2), "float32", "text"),
        ((12,), "int32", "text"),
        ((4, 4, 1), "float32", "text"),
    ],
)
def test_the_view_that_fits_a_shape(shape: tuple[int, ...], dtype: str, view: str) -> None:
    network = lp.Sequential([lp.Input(shape, dtype=dtype), lp.Flatten()])
    assert describe(network, {}, "m")["inputs"][0]["view"] == view


def test_pixels_before_a_layer_that_rescales() -> None:
    network = lp.Sequential([lp.Input((28, 28, 1)), lp.Rescaling(1 / 255), lp.Flatten()])
    (fact,) = describe(network, {}, "m")["inputs"]
    assert (fact["low"], fact["high"]) == (0, 255)
    (fact,) = describe(network, {"pixels": "-1..1"}, "m")["inputs"]
    assert (fact["low"], fact["high"]) == (-1, 1)


def test_the_ranges_of_sliders_follow_the_statistics() -> None:
    network = lp.Sequential(
        [lp.Input((2,)), lp.Normalization(mean=[10.0, 0.5], variance=[4.0, 0.01]), lp.Dense(1)]
    )
    network.initialize(0)
    (fact,) = describe(network, {}, "m")["inputs"]
    assert fact["ranges"] == [(4, 16), (0.2, 0.8)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"view": "hologram"}, "hologram"),
        ({"view": "image"}, "no image"),
        ({"pixels": "bright"}, "bright"),
        ({"features": "a,b"}, "2 features"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, str], said: str) -> None:
    network = lp.Sequential([lp.Input((3,)), lp.Dense(1)])
    network.initialize(0)
    with pytest.raises(UnsupportedError, match=said):
        lp.save(network, tmp_path / "m.html", **options)
    assert not list(tmp_path.iterdir())


def test_the_module_can_be_taken_out_again() -> None:
    module = "const predict = 0;\nexport { predict };"
    assert module_of(compose({"title": "{{script}}"}, module)) == module
