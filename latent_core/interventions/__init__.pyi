"""The public names of `latent_core.interventions`, each with the module that defines it."""

from .base import Combined as Combined
from .base import Intervention as Intervention
from .flow import KnockOut as KnockOut
from .held import Freeze as Freeze
from .kinds import VERBS as VERBS
from .kinds import Patch as Patch
from .kinds import parse_intervention as parse_intervention
from .places import Drop as Drop
from .places import Move as Move
from .places import Positions as Positions
from .places import Recount as Recount
from .running import InterventionWarning as InterventionWarning
from .vectors import Replace as Replace
from .vectors import Scale as Scale
from .vectors import Shuffle as Shuffle
from .vectors import Swap as Swap
