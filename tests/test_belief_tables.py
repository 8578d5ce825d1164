"""Tables of docs/ that come from results of benchmarks are those of the results."""

import re

from benchmarks.belief_tables import PAGES, ROOT, TABLES, pages


def test_the_tables_have_the_figures_of_the_results():
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, "run python -m benchmarks.belief_tables"


def test_every_table_is_on_a_page():
    text = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert sorted(re.findall(r"<!-- figures: ([\w-]+) -->", text)) == sorted(TABLES)
