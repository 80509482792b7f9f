"""Figures of the package's structure: `python tools/structure.py [REPOSITORY]`.

Top-level modules and packages, imports between them, circles, the longest file and function, annotated functions, tracked files.
"""

import argparse
import ast
import subprocess
from pathlib import Path


def imports(package: Path) -> set[tuple[str, str]]:
    """Pairs (importing, imported) of top-level names of a package, imports inside functions included."""
    found = set()
    for path in package.rglob("*.py"):
        own = path.relative_to(package).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package.name:
                parts = node.module.split(".")
                names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
                found |= {(own, name) for name in names if name != own and not name.startswith("_")}
    return {(own, name) for own, name in found if not own.startswith("_")}


def circles(pairs: set[tuple[str, str]]) -> list[str]:
    """Names that reach themselves."""
    reached = {own: {b for a, b in pairs if a == own} for own, _ in pairs}
    for _ in reached:
        for names in reached.values():
            names |= {further for name in list(names) for further in reached.get(name, ())}
    return sorted(own for own, names in reached.items() if own in names)


def functions(package: Path) -> list[tuple[int, bool, str]]:
    """(lines, whether every argument and the result are annotated, place) of every function."""
    found = []
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                named = all(argument.annotation or argument.arg in ("self", "cls", "_") for argument in arguments)
                found.append((node.end_lineno - node.lineno + 1, bool(named and node.returns), f"{path.name}:{node.name}"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", nargs="?", type=Path, default=Path(__file__).resolve().parents[1])
    root = parser.parse_args().repository
    package = root / "scn_tf"
    tops = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()} - {"__init__", "__main__"}
    pairs = imports(package)
    files = sorted((len(path.read_text().splitlines()), path.name) for path in package.rglob("*.py"))
    found = sorted(functions(package))
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    print(f"top-level modules and packages  {len(tops)}, of them modules {sum((package / f'{name}.py').is_file() for name in tops)}")
    print(f"imports between them            {len(pairs)}; in circles: {', '.join(circles(pairs)) or 'none'}")
    longest, name = files[-1]
    print(f"modules                         {len(files)}, longest {name} with {longest} lines, {sum(n for n, _ in files)} lines")
    median = found[len(found) // 2][0]
    print(f"functions                       {len(found)}, longest {found[-1][2]} with {found[-1][0]} lines, median {median}")
    print(f"annotated                       {sum(whole for _, whole, _ in found)} of {len(found)}")
    print(f"tracked files                   {len(tracked)}")


if __name__ == "__main__":
    main()
