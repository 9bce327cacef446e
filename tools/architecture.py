"""Draws the package's rooms and imports: ``python tools/architecture.py``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "unlearnkit"
PICTURE = ROOT / "docs/images/architecture.svg"
TIERS = (
    ("cli",),
    ("runs",),
    ("attacks",),
    ("callbacks", "report"),
    ("suites",),
    ("module", "edits", "testing"),
    ("robust",),
    ("objectives", "metrics"),
    ("engine",),
    ("data",),
    ("models",),
    ("functional", "tiny"),
    ("redact", "families"),
    ("registry",),
    ("errors",),
)
SAYS = {
    "cli": "recipes, verbs, what is printed", "runs": "run folders: fit, evaluate, export",
    "attacks": "bring it back", "callbacks": "when to stop", "report": "one HTML file",
    "suites": "evaluations", "module": "LightningModule", "edits": "models without training",
    "testing": "checks of an objective", "robust": "forgetting that lasts",
    "objectives": "losses", "metrics": "torchmetrics",
    "engine": "step, reference, generation", "data": "rows, tokens, streams, packing",
    "models": "base, adapter, composite", "functional": "formulas", "tiny": "embedded data",
    "redact": "safe to show", "registry": "names of classes",
    "families": "their places in a recipe", "errors": "sentences",
}  # fmt: skip
WIDTH, HEIGHT, BOX, GAP = 860, 62, 210, 24


def imports() -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second."""
    found: set[tuple[str, str]] = set()
    for file in PACKAGE.rglob("*.py"):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unlearnkit."):
                found.add((room, str(node.module).split(".")[1]))
    known = {room for tier in TIERS for room in tier}
    return {(a, b) for a, b in found if a != b and {a, b} <= known}


def drawn() -> str:
    """The picture as SVG: importing rooms above, imported ones below."""
    places: dict[str, tuple[float, float]] = {}
    for level, tier in enumerate(TIERS):
        start = (WIDTH - len(tier) * BOX - (len(tier) - 1) * GAP) / 2
        for i, room in enumerate(tier):
            places[room] = (start + i * (BOX + GAP), 20 + level * (HEIGHT + 14))
    height = 20 + len(TIERS) * (HEIGHT + 14)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" role="img" aria-label="The rooms of the package and their '
        'imports, which all point down">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for above, below in sorted(imports()):
        (x, y), (u, v) = places[above], places[below]
        lines.append(
            f'<path d="M{x + BOX / 2:g} {y + 48:g} C{x + BOX / 2:g} {y + 100:g} {u + BOX / 2:g} '
            f'{v - 52:g} {u + BOX / 2:g} {v:g}" fill="none" stroke="#8a94a6" '
            'stroke-opacity="0.35"/>'
        )
    for room, (x, y) in places.items():
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{BOX}" height="48" rx="6" fill="#eef2fb" '
            'stroke="#34507e"/>'
            f'<text x="{x + BOX / 2:g}" y="{y + 20:g}" text-anchor="middle" font-size="15" '
            f'fill="#1c2b45">{escape(room)}</text>'
            f'<text x="{x + BOX / 2:g}" y="{y + 38:g}" text-anchor="middle" font-size="12" '
            f'fill="#44546f">{escape(SAYS[room])}</text>'
        )
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
    sys.stdout.write(f"{PICTURE.relative_to(ROOT)}\n")
