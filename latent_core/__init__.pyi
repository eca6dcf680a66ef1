"""The public names of `latent_core`, each with the module that defines it.

`import x as x` says that x is public. Jedi reads no `__all__` in a stub.
"""

from . import errors as errors
from . import interventions as interventions
from . import layouts as layouts
from . import tasks as tasks
from .analysis.contents import latent_contents as latent_contents
from .analysis.geometry import latent_norms as latent_norms
from .analysis.geometry import latent_similarity as latent_similarity
from .analysis.geometry import logit_lens as logit_lens
from .analysis.geometry import nearest_tokens as nearest_tokens
from .analysis.geometry import slot_pca as slot_pca
from .analysis.mean_attention import AttentionMasses as AttentionMasses
from .analysis.mean_attention import attention_masses as attention_masses
from .analysis.mean_attention import mean_attention as mean_attention
from .analysis.mean_effect import mean_effect as mean_effect
from .analysis.mean_effect import single_latents as single_latents
from .analysis.token_probabilities import token_probabilities as token_probabilities
from .analysis.tracing import attention_against_effect as attention_against_effect
from .analysis.tracing import trace as trace
from .attention.capture import capture_attention as capture_attention
from .attention.hooks import AttentionCall as AttentionCall
from .attention.hooks import AttentionHook as AttentionHook
from .attention.hooks import hooked as hooked
from .attention.record import AttentionRecord as AttentionRecord
from .backbones.backbone import Backbone as Backbone
from .backbones.loading import load_backbone as load_backbone
from .evaluation.along import along as along
from .evaluation.comparison import compare as compare
from .evaluation.edits import follow_edits as follow_edits
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.interventions import evaluate_intervention as evaluate_intervention
from .generation.generate import Generation as Generation
from .grids.grid import Grid as Grid
from .grids.grid import read_grid as read_grid
from .grids.run import run_grid as run_grid
from .hypotheses import lab as lab
from .hypotheses.claim import Hypothesis as Hypothesis
from .hypotheses.conditions import Contrast as Contrast
from .hypotheses.plan import Plan as Plan
from .hypotheses.studies.table import STUDIES as STUDIES
from .hypotheses.studies.table import load_study as load_study
from .hypotheses.study import Study as Study
from .hypotheses.verdict import Verdict as Verdict
from .interventions.base import Intervention as Intervention
from .interventions.kinds import parse_intervention as parse_intervention
from .invariants.check import check_backbone as check_backbone
from .models.build import build_model as build_model
from .models.build import load_model as load_model
from .models.latent import LatentModel as LatentModel
from .models.matching import cost as cost
from .models.matching import matched as matched
from .models.steered import SteeredModel as SteeredModel
from .runs.evaluation_file import write_records as write_records
from .runs.shipped import shipped_adapter as shipped_adapter
from .runs.shipped import shipped_adapters as shipped_adapters
from .runs.snapshots import Snapshots as Snapshots
from .runs.snapshots import load_snapshots as load_snapshots
from .runs.store import load_runs as load_runs
from .slots.batch import LatentBatch as LatentBatch
from .slots.methods import Method as Method
from .statistics.inference import Effect as Effect
from .statistics.inference import paired_effect as paired_effect
from .statistics.means import mean_interval as mean_interval
from .statistics.means import paired_difference as paired_difference
from .statistics.means import summarise as summarise
from .tasks.base import Example as Example
from .tasks.base import Score as Score
from .tasks.base import Task as Task
from .tasks.table import load_task as load_task
from .training.result import Kept as Kept
from .training.result import TrainingResult as TrainingResult
from .training.train import train as train

__version__: str
