"""The cache of compiled templates: reused at the next start, never outdated, and optional."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from crossroads.middleware.template_cache import TemplateCache


def environment(templates: Path, kept: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(templates), bytecode_cache=TemplateCache(kept), autoescape=True
    )


def render(templates: Path, kept: Path) -> str:
    return environment(templates, kept).get_template("page.html").render(name="Maria")


def test_compiled_template_is_reused_until_its_source_changes(tmp_path: Path) -> None:
    kept, page = tmp_path / "new" / "kept", tmp_path / "page.html"
    page.write_text("Hello {{ name }}", encoding="utf-8")
    assert render(tmp_path, kept) == "Hello Maria"
    (file,) = kept.iterdir()
    first = file.stat().st_mtime_ns
    assert kept.stat().st_mode & 0o777 == 0o700
    assert render(tmp_path, kept) == "Hello Maria"
    assert file.stat().st_mtime_ns == first  # the kept file was used again
    page.write_text("Goodbye {{ name }}", encoding="utf-8")
    assert render(tmp_path, kept) == "Goodbye Maria"


def test_template_is_rendered_without_a_usable_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("Hello {{ name }}", encoding="utf-8")
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert render(tmp_path, in_the_way / "kept") == "Hello Maria"
