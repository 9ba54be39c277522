"""Pages in the machine's own browser: on both themes, on a phone, on paper, and what the checks themselves notice."""

import pytest

from likewise.report import Page, colours, plots
from likewise.report.plots import Curve
from report.conftest import HOSTILE


def drawn_rgb(theme, number):
    value = theme[f"series-{number}"]
    return f"rgb({', '.join(str(int(value[i : i + 2], 16)) for i in (1, 3, 5))})"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_element_is_sound_on_every_screen(demo, browse, dark, width):
    view = browse(demo, dark=dark, width=width)
    view.assert_sound()
    view.assert_figures_drawn(5)  # the sixth is folded away


def test_no_text_from_outside_becomes_part_of_the_page(demo, browse):
    page = browse(demo).page
    assert page.title() == f"One of everything {HOSTILE}"  # its script would have changed that
    assert page.locator("main").locator("img, b, td script").count() == 0
    assert page.locator(".legendtext tspan", has_text="<script>document.title =").count() == 1
    assert page.locator(".ytick tspan", has_text="<script>document.tit").count() == 3  # intervals, bars and heat map


def test_a_change_of_theme_repaints_the_figures(demo, browse):
    view = browse(demo)
    assert view.colours()[drawn_rgb(colours.LIGHT, 1)]
    view.page.emulate_media(color_scheme="dark")
    view.settle()
    assert view.colours()[drawn_rgb(colours.DARK, 1)]
    assert not view.colours()[drawn_rgb(colours.LIGHT, 1)]
    view.assert_legible()
    view.assert_no_errors()


def test_a_folded_figure_is_drawn_when_it_is_opened(demo, browse):
    view = browse(demo)
    view.page.locator("summary").click()
    view.settle()
    view.assert_figures_drawn(6)
    view.assert_sound()


def test_a_wide_table_scrolls_inside_itself(demo, browse):
    view = browse(demo, width=360)
    table = view.page.locator(".table")
    assert table.evaluate("node => node.scrollWidth > node.clientWidth")
    caption = table.locator("caption span").bounding_box()
    assert caption["x"] + caption["width"] <= 360  # stays in sight


def test_figures_follow_the_width_of_the_window(demo, browse):
    view = browse(demo)
    wide = view.page.locator(".plot svg.main-svg").first.bounding_box()["width"]
    view.page.set_viewport_size({"width": 360, "height": 800})
    view.settle()
    assert view.page.locator(".plot svg.main-svg").first.bounding_box()["width"] <= 330 < wide


def test_every_label_of_a_figure_lies_inside_it_on_a_phone(demo, browse):
    cut = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
      const box = plot.getBoundingClientRect();
      return [...plot.querySelectorAll("text")].filter((text) => {
        const own = text.getBoundingClientRect();
        return own.width && (own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1);
      }).map((text) => text.textContent);
    })"""
    assert browse(demo, width=360).page.evaluate(cut) == []


def test_print_shows_everything_in_the_colours_of_paper(demo, browse):
    view = browse(demo, dark=True)
    view.page.emulate_media(media="print", color_scheme="dark")
    view.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    view.settle()
    assert view.page.get_by_text("Seen when opened, and on paper.").is_visible()
    view.assert_figures_drawn(6)
    assert view.colours()[drawn_rgb(colours.LIGHT, 1)]
    assert view.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for box in [figure.bounding_box() for figure in view.page.locator("svg.main-svg").filter(visible=True).all()]:
        assert box["width"] <= 640
    view.page.evaluate("dispatchEvent(new Event('afterprint'))")
    view.page.emulate_media(media="screen", color_scheme="dark")
    view.settle()
    assert view.page.locator("details[open]").count() == 0
    assert view.colours()[drawn_rgb(colours.DARK, 1)]
    assert view.page.pdf(format="A4").startswith(b"%PDF")
    view.assert_no_errors()


def test_links_of_the_contents_lead_to_their_section(demo, browse):
    page = browse(demo).page
    page.locator("nav a").last.click()
    assert page.locator(":target").inner_text() == "Figures"


def test_without_scripts_the_text_and_what_figures_show_are_there(demo, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(demo.as_uri())
    assert page.get_by_text("Two heaps that overlap").is_visible()
    assert page.get_by_text("A paragraph that stands back.").is_visible()
    context.close()


WRONG = {
    "assert_offline": "<script>new Image().src = 'https://example.org/pixel.png'</script>",
    "assert_no_errors": "<script>throw new Error('wrong')</script>",
    "assert_fits": "<p style='width: 500px'>wide</p>",
    "assert_legible": "<p style='color: #999; background: #fff'>faint</p>",
    "assert_figures_drawn": "<figure><div class=plot aria-label=empty style='height: 9px'></div>caption</figure>",
}


@pytest.mark.parametrize("check", WRONG)
def test_a_broken_page_is_noticed(check, browse, tmp_path):
    path = tmp_path / "broken.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><p>text</p>{WRONG[check]}")
    view = browse(path)
    with pytest.raises(AssertionError):
        getattr(view, check)()
    for other in WRONG.keys() - {check, "assert_no_errors"}:  # a request that is stopped is an error of the console too
        getattr(view, other)()


def test_the_browser_itself_keeps_a_page_from_loading_anything(browse, tmp_path):
    page = Page("t")
    page.raw("<img src='https://example.org/pixel.png'>")
    page.figure(plots.curves([Curve("a", [1, 2], [1, 2])], x="x", y="y"), caption="c", alt="a")
    page.write(tmp_path / "page.html")
    view = browse(tmp_path / "page.html")
    view.assert_offline()
    assert "Content Security Policy" in view.errors[0]
