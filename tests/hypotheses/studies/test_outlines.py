"""The studies in words: what the table of studies makes of them, listed without torch."""

import subprocess
import sys

from latent_core.hypotheses.studies.outlines import OUTLINES, other_keys
from latent_core.hypotheses.studies.table import STUDIES


def test_an_outline_says_what_its_study_is() -> None:
    for outline, study in zip(OUTLINES, STUDIES, strict=True):
        assert outline[:5] == (
            *(study.key, study.title, study.claim, study.prediction, study.explanation),
        )
        assert outline.size == len(study.parts)
    on_others = [s.key_on(task) for s in STUDIES for task in list(s.layouts)[1:]]
    assert other_keys() == on_others


def test_the_list_of_studies_needs_no_torch() -> None:
    code = (
        "import sys, resource\n"
        "from latent_core.cli import main\n"
        "sys.argv = ['latent', 'hypotheses']\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(used.ru_utime + used.ru_stime, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "H1" in done.stdout and "reach" in done.stdout
    assert float(done.stderr.split()[-1]) < 3, "seconds of processor time; 0.8 on an idle machine"
