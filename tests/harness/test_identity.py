"""The identity of code: what changes it and what does not."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from vcfe_toys.methods import Push

from vcfe_bench.plugins.code import project as projects
from vcfe_bench.plugins.code.project import Project, source_file
from vcfe_bench.plugins.registry import METHODS
from vcfe_bench.plugins.source import DISTRIBUTION, code_identity, identity

FILES = {
    "lab/__init__.py": "",
    "lab/plugin.py": '''
        """A plug-in."""
        from __future__ import annotations

        from typing import Annotated, TYPE_CHECKING

        import numpy as np
        from pydantic import Field
        from pydantic.dataclasses import dataclass

        from lab import tools
        from lab.base import Base
        from lab.tools import scale as stretched

        if TYPE_CHECKING:
            from lab.other import Other

        @dataclass(frozen=True)
        class Params:
            steps: Annotated[int, Field(ge=1)] = 3
            """How many."""

        class Plugin(Base):
            """Does it."""

            Params = Params

            def run(self, x: int, tools2: Other | None = None) -> int:
                """Run it."""
                # a comment
                count: int = 2
                return stretched(x) + tools.shift(x, count) + np.abs(x)

        def unrelated() -> int:
            return 1
        ''',
    "lab/base.py": """
        from lab.tools import RATE

        class Base:
            width = 1

            def half(self, x):
                return x * RATE if x > 0 else self.half(-x)
        """,
    "lab/tools.py": '''
        """Tools."""
        RATE = 0.5

        def scale(x, by=2):
            return x * by * RATE

        def shift(x, by):
            from lab.deep.inner import OFFSET

            return even(x) + by + OFFSET

        def even(x):
            return x == 0 or not odd(x - 1)

        def odd(x):
            return x == 1 or not even(x - 1)

        def unused():
            return 3
        ''',
    "lab/deep/__init__.py": "",
    "lab/deep/inner.py": "OFFSET = 4\n",
    "lab/other.py": "class Other: ...\n",
    "lab/quick.py": "def scale(x, by=2):\n    return x * by * 0.25\n",
}
FILES = {name: textwrap.dedent(text) for name, text in FILES.items()}
Files = dict[str, str]


@pytest.fixture
def identify(tmp_path: Path) -> Callable[[Files], str]:
    """The identity of ``lab.plugin.Plugin`` for some files."""
    count = iter(range(100))

    def of(files: Files, module: str = "lab.plugin", name: str = "Plugin") -> str:
        return identity(written(files, tmp_path / str(next(count))), module, name)

    return of


def written(files: Files, root: Path) -> Project:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Project(["lab"], lambda module: found(root, module))


def found(root: Path, module: str) -> str:
    path = root.joinpath(*module.split("."))
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.exists():
            return str(candidate)
    return ""


def edited(name: str, old: str, new: str) -> Files:
    assert FILES[name].count(old) == 1, (name, old)
    return {**FILES, name: FILES[name].replace(old, new)}


def test_identities_have_not_changed(identify: Callable[..., str]) -> None:
    assert identify(FILES) == "cd9507d6e9ddb5d6"
    assert identify(FILES, "lab.tools", "shift") == "3ad41842cd519e63"
    assert identify({"lab/__init__.py": "class Empty:\n    pass\n"}, "lab", "Empty") == "eae3729295d0c26e"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("lab/plugin.py", '"""Does it."""', '"""Does it well."""'),
        ("lab/plugin.py", '"""Does it."""', ""),
        ("lab/plugin.py", '"""Run it."""', ""),
        ("lab/plugin.py", '"""How many."""', ""),
        ("lab/tools.py", '"""Tools."""', '"""Some tools."""'),
        ("lab/plugin.py", "# a comment", "\n\n"),
        ("lab/plugin.py", "stretched(x) + tools", "(\n    stretched( x )) + tools"),
        ("lab/plugin.py", "x: int, tools2: Other | None = None) -> int", "x, tools2=None)"),
        ("lab/plugin.py", "count: int = 2", "count = 2"),
        ("lab/tools.py", "RATE = 0.5", "RATE: float = 0.5"),
        ("lab/tools.py", "RATE = 0.5", "RATE = 0.50"),
        ("lab/plugin.py", "Annotated[int, Field(ge=1)]", '"Annotated[int, Field(ge=1)]"'),
        ("lab/plugin.py", "import numpy as np", "import numpy\nimport numpy as np"),
        ("lab/plugin.py", "def unrelated() -> int:\n    return 1", ""),
        ("lab/tools.py", "return 3", "return 4"),
        ("lab/plugin.py", "from lab.other import Other", "from lab.quick import Other"),
        ("lab/other.py", "...", "x = 1"),
        ("lab/deep/inner.py", "OFFSET = 4", "OFFSET = 4\nif __name__ == '__main__':\n    print(OFFSET)"),
        ("lab/base.py", "class Base:", "class Base:\n    pass\n"),
        ("lab/base.py", "class Base:", "from typing import final\n\n@final\nclass Base:"),
    ],
)
def test_what_does_not_compute_does_not_count(identify: Callable[..., str], name: str, old: str, new: str) -> None:
    assert identify(edited(name, old, new)) == identify(FILES)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("lab/tools.py", "RATE = 0.5", "RATE = 0.6"),
        ("lab/tools.py", "RATE = 0.5", "RATE = '0.5'"),
        ("lab/tools.py", "x * by * RATE", "x * by + RATE"),
        ("lab/tools.py", "by=2", "by=3"),
        ("lab/tools.py", "def scale(x, by=2)", "def scale(x, *, by=2)"),
        ("lab/plugin.py", "ge=1", "ge=2"),
        ("lab/plugin.py", "ge=1", "gt=1"),
        ("lab/plugin.py", "Annotated[int, Field(ge=1)] = 3", "int = 3"),
        ("lab/plugin.py", "= 3", "= 4"),
        ("lab/plugin.py", "frozen=True", "frozen=False"),
        ("lab/plugin.py", "np.abs", "np.sign"),
        ("lab/plugin.py", "import numpy as np", "import cupy as np"),
        ("lab/plugin.py", "from lab.tools import scale", "from lab.quick import scale"),
        ("lab/plugin.py", "class Plugin(Base)", "class Plugin"),
        ("lab/base.py", "width = 1", "width = 2"),
        ("lab/base.py", "-x", "+x"),
        ("lab/tools.py", "x == 1 or", "x == 2 or"),
        ("lab/deep/inner.py", "4", "5"),
        ("lab/deep/inner.py", "OFFSET = 4", "OFFSET = 4\nOFFSET += 1"),
        ("lab/deep/inner.py", "OFFSET = 4", "OFFSET = 4\nfor i in range(3):\n    OFFSET += i"),
        ("lab/deep/inner.py", "OFFSET = 4", "OFFSET = 4\nimport numpy\nnumpy.seterr(all='raise')"),
        ("lab/other.py", "class Other: ...", "import lab.base\nlab.base.Base.width = 5"),
    ],
)
def test_what_computes_counts(identify: Callable[..., str], name: str, old: str, new: str) -> None:
    files = edited(name, old, new)
    if name == "lab/other.py":  # executed, though nothing in it is named
        files["lab/base.py"] = FILES["lab/base.py"] + "\nimport lab.other\n"
        assert identify({**FILES, "lab/base.py": files["lab/base.py"]}) == identify(FILES)
    assert identify(files) != identify(FILES)


def replaced(files: Files, *changes: tuple[str, str]) -> Files:
    for before, after in changes:
        assert any(before in text for text in files.values()), before
        files = {name: text.replace(before, after) for name, text in files.items()}
    return files


def renamed(old: str, new: str) -> Files:
    return {new if name == old else name: text for name, text in FILES.items()}


@pytest.mark.parametrize(
    "files",
    [
        replaced(
            renamed("lab/tools.py", "lab/deep/instruments.py"),
            ("from lab import tools", "from lab.deep import instruments as tools"),
            ("lab.tools", "lab.deep.instruments"),
        ),
        replaced(FILES, ("from lab import tools", "import lab.tools"), ("tools.shift", "lab.tools.shift")),
        replaced(FILES, ("from lab import tools", "from . import tools as t"), ("tools.shift", "t.shift")),
        replaced(FILES, ("from lab import tools", "from .tools import shift"), ("tools.shift(x", "shift(x")),
        replaced(FILES, ("from lab.base import Base", "import lab.base as b"), ("Plugin(Base)", "Plugin(b.Base)")),
        replaced(FILES, ("scale as stretched", "scale"), ("stretched(x)", "scale(x)")),
        replaced(FILES, ("import numpy as np", "from numpy import abs as size"), ("np.abs", "size")),
        replaced(
            FILES,
            ("from lab.tools import scale as stretched\n", "\n"),
            ("# a comment", "from lab.tools import scale as stretched"),
        ),
        replaced(
            {**FILES, "lab/__init__.py": "from lab.base import *\n"}, ("from lab.base import B", "from lab import B")
        ),
        replaced(
            {**FILES, "lab/__init__.py": "from lab.face import Base\n", "lab/face.py": "from lab.base import Base\n"},
            ("from lab.base import Base\nfrom lab.tools", "from lab import Base\nfrom lab.tools"),
        ),
        replaced(
            FILES, ("from lab.deep.inner import OFFSET", "from .deep import inner"), ("+ OFFSET", "+ inner.OFFSET")
        ),
        {
            **{name: text for name, text in FILES.items() if name != "lab/base.py"},
            "lab/plugin.py": FILES["lab/plugin.py"].replace("from lab.base import Base\n", FILES["lab/base.py"]),
        },
    ],
    ids=lambda files: "",
)
def test_where_code_stands_and_what_modules_are_called_does_not_count(
    identify: Callable[..., str], files: Files
) -> None:
    assert files != FILES
    assert identify(files) == identify(FILES)


def test_a_renamed_package_is_the_same_code(tmp_path: Path) -> None:
    project = written(FILES, tmp_path / "one")
    files = {name.replace("lab/", "bench/"): text.replace("lab", "bench") for name, text in FILES.items()}
    written(files, tmp_path / "two")
    other = Project(["bench"], lambda module: found(tmp_path / "two", module))
    assert identity(other, "bench.plugin", "Plugin") == identity(project, "lab.plugin", "Plugin")


ODD = {
    "lab/__init__.py": "",
    "lab/plugin.py": "from lab import tools\nclass Plugin:\n    def run(self, x):\n        return BODY\n",
    "lab/tools.py": "def a():\n    return 1\ndef b():\n    return 2\n",
    "lab/lazy.py": "def __getattr__(name):\n    return 1\n",
}


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("tools.a()", False),
        ("x(tools)", True),
        ("getattr(tools, x)()", True),
        ("[tools.a() for tools in x]", False),
        ("(lambda tools: tools(x))(tools.a)", False),
        ("globals()[x]", True),
        ("tools.missing", True),
    ],
)
def test_a_module_used_as_an_object_counts_as_a_whole(identify: Callable[..., str], body: str, counts: bool) -> None:
    files = {**ODD, "lab/plugin.py": ODD["lab/plugin.py"].replace("BODY", body)}
    changed = {**files, "lab/tools.py": ODD["lab/tools.py"].replace("2", "3")}
    assert (identify(changed) != identify(files)) == counts


@pytest.mark.parametrize(
    ("registry", "use"),
    [
        ("TABLE = {}\ndef keep(f):\n    TABLE[f.__name__] = f\n    return f\n", "@keep\ndef helper():\n    return 1\n"),
        (
            "TABLE = []\ndef keep(f):\n    TABLE.append(f)\n    return f\n",
            "def helper():\n    return 1\nx = keep(helper)\n",
        ),
        (
            "TABLE = []\nclass keep:\n    def __init_subclass__(cls):\n        TABLE.append(cls)\n",
            "class Helper(keep):\n    value = 1\n",
        ),
    ],
)
def test_what_registers_itself_counts(identify: Callable[..., str], registry: str, use: str) -> None:
    files = {
        "lab/__init__.py": "",
        "lab/table.py": registry,
        "lab/helpers.py": f"from lab.table import keep\n{use}",
        "lab/plugin.py": "import lab.helpers\nfrom lab.table import TABLE\nclass Plugin:\n    table = TABLE\n",
    }
    assert identify({**files, "lab/helpers.py": files["lab/helpers.py"].replace("1", "2")}) != identify(files)


def test_a_lazy_module_counts_as_a_whole(identify: Callable[..., str]) -> None:
    files = {**ODD, "lab/plugin.py": "from lab.lazy import anything\nclass Plugin:\n    x = anything\n"}
    assert identify({**files, "lab/lazy.py": ODD["lab/lazy.py"].replace("1", "2")}) != identify(files)


def test_star_imports_and_imports_that_fail(identify: Callable[..., str]) -> None:
    files = {
        **ODD,
        "lab/plugin.py": "from lab.both import *\nclass Plugin:\n    x = a\n",
        "lab/both.py": "try:\n    from lab.fast import a\nexcept ImportError:\n    from lab.tools import *\n",
    }
    assert identify({**files, "lab/both.py": files["lab/both.py"].replace("fast", "faster")}) != identify(files)
    assert identify({**files, "lab/fast.py": "def a():\n    return 7\n"}) != identify(files)


def test_formatting_does_not_count(tmp_path: Path) -> None:
    """All of this project, written anew by ``ast.unparse``, keeps its identities."""

    def rewritten(module: str) -> str:
        path = source_file(module)
        if path.endswith(".py"):
            copy = tmp_path / (module + ("/__init__.py" if path.endswith("__init__.py") else ".py"))
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(ast.unparse(ast.parse(Path(path).read_text())))
            return str(copy)
        return path

    project, copies = Project(DISTRIBUTION), Project(DISTRIBUTION, rewritten)
    for name in METHODS.names():
        if not name.startswith("toy"):
            method = METHODS.load(name)
            code = method.__module__, method.__qualname__
            assert identity(copies, *code) == identity(project, *code) == code_identity(method)


def test_each_file_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[object] = []
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda *args, **kwargs: parsed.append(args[0]) or parse(*args, **kwargs))
    code_identity.cache_clear()
    projects._parsed.cache_clear()
    monkeypatch.setattr("vcfe_bench.plugins.source._project", projects.cache(Project))
    methods = [METHODS.load(name) for name in METHODS.names() if name != "toy_broken"]
    first = [code_identity(method) for method in methods]
    files = [source for source in parsed if isinstance(source, bytes) and source]
    assert 5 < len(files) == len(set(files)) < 100
    parsed.clear()
    assert [code_identity(method) for method in methods] == first
    assert parsed == []


def test_built_in_methods_differ_and_a_stranger_s_package_counts() -> None:
    names = [
        "bttf",
        "bttf_restarts",
        "random_draws",
        "nearest_draw",
        "local_draws",
        "pgd",
        "cg_video",
        "cg_video_mid",
        "ldvice",
        "ldvice_ra",
        "tubes",
        "true_edit",
        "no_edit",
    ]
    assert len({code_identity(METHODS.load(name)) for name in names}) == len(names)
    project = Project(["vcfe_toys", *DISTRIBUTION])
    assert identity(project, Push.__module__, Push.__qualname__) == code_identity(Push)
    reached = "".join(project.text(project.defined("vcfe_toys.methods", "Push")))
    assert "ClassDef(name='Method'" in reached


@pytest.mark.parametrize(
    ("text", "counts"), [("def another():\n    return 1\n", False), ("sample.guidance = 2\n", True), ("# X\n", False)]
)
def test_what_a_method_uses_of_the_harness_counts(tmp_path: Path, text: str, counts: bool) -> None:
    changed = tmp_path / "diffusion.py"
    changed.write_text(Path(source_file("vcfe_bench.diffusion")).read_text() + text)
    find = {"vcfe_bench.diffusion": str(changed)}
    project, other = (
        Project(DISTRIBUTION),
        Project(DISTRIBUTION, lambda module: find.get(module) or source_file(module)),
    )
    bttf, pgd = (("vcfe_methods.bttf", "BTTF"), ("vcfe_methods.pgd", "PGD"))
    assert (identity(other, *bttf) != identity(project, *bttf)) == counts
    assert identity(other, *pgd) == identity(project, *pgd)


def test_code_without_a_source_is_known_by_name() -> None:
    assert code_identity(dict) != code_identity(list)
